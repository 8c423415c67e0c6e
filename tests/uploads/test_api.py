"""POST /api/upload-random: intent, act, outcome, in the order that keeps the promise."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection
from django.test import Client
from django.utils import timezone

from mirrorsite.actors import Actor
from tests.problems import slug
from tests.uploads.making import actions, keys_in, stored
from uploads import transitions
from uploads.audit import log
from uploads.models import Action, Status, Upload
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db
URL = "/api/upload-random"


def post(client: Client, body: object = None, **extra: Any) -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return client.post(URL, data, content_type="application/json", **extra)


def post_nothing(client: Client, **extra: Any) -> Any:
    """POST without a body, as `curl -X POST` does; Client.post would send a form."""
    return client.generic("POST", URL, **extra)


class TestPost:
    def test_no_body(self, client, bucket):
        headers = {"X-Request-ID": "my-request", "User-Agent": "tests"}
        response = post_nothing(client, headers=headers)

        assert response.status_code == 201
        upload = Upload.objects.get()
        assert response["Location"] == f"http://testserver/api/uploads/{upload.pk}"
        assert response["X-Request-ID"] == "my-request"
        assert response.json() == {
            "uploaded": "ok",
            "id": str(upload.pk),
            "key": upload.key,
            "bucket": bucket.bucket_name,
            "number": upload.number,
            "size": upload.size,
            "sha256": upload.sha256,
            "etag": upload.etag,
            "version_id": None,
            "status": "stored",
            "created_at": upload.created_at.isoformat().replace("+00:00", "Z"),
            "url": f"http://testserver/api/uploads/{upload.pk}",
        }
        assert upload.stored_at is not None
        assert upload.duration is not None
        whole = upload.stored_at - upload.created_at  # by another clock
        assert timedelta(0) < upload.duration < whole + timedelta(seconds=1)

        got = bucket.client.get_object(Bucket=bucket.bucket_name, Key=upload.key)
        with got["Body"] as body:
            content = body.read()
        assert content == str(upload.number).encode()
        assert hashlib.sha256(content).hexdigest() == upload.sha256
        assert upload.etag == got["ETag"].strip('"')
        assert got["ContentType"].startswith("text/plain")
        assert got["Metadata"] == {
            "upload-id": str(upload.pk),
            "request-id": "my-request",
            "sha256": upload.sha256,
        }

        events = upload.events.order_by("id")
        assert {(e.actor, e.request_id) for e in events} == {
            ("anonymous", "my-request")
        }
        facts = {"size": upload.size, "sha256": upload.sha256}
        assert [(event.action, event.detail) for event in events] == [
            (
                Action.REQUESTED,
                facts
                | {
                    "bucket": bucket.bucket_name,
                    "key": upload.key,
                    "number": upload.number,
                    "client_address": "127.0.0.1",
                    "user_agent": "tests",
                },
            ),
            (Action.STORED, facts | {"etag": upload.etag, "version_id": ""}),
        ]

    @pytest.mark.parametrize("size", [1, 5, 4096])
    def test_size(self, client, bucket, size):
        answer = post(client, {"size": size}).json()
        assert answer["size"] == size
        assert len(b"".join(bucket.read(answer["key"]))) == size

    def test_largest_size(self, client, bucket, settings):
        settings.UPLOAD_MAX_BYTES = 1000
        assert post(client, {"size": 1000}).status_code == 201
        assert post(client, {"size": 1001}).status_code == 400

    def test_key__date_and_time_ordered_id(self, bucket):
        first, second = stored(), stored()
        assert first.key == f"uploads/{first.created_at:%Y/%m/%d}/{first.pk}.txt"
        assert first.pk.version == 7
        assert first.pk < second.pk

    def test_user_agent__unprintable_is_escaped(self, client, bucket):
        post_nothing(client, headers={"User-Agent": "a\x00b\x1bc" + "x" * 600})
        agent = Upload.objects.get().user_agent
        assert agent.startswith(r"a\x00b\x1bc")
        assert len(agent) == 512

    def test_nothing_is_written_to_the_local_disk(self, bucket):
        written: list[object] = []

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            # An audit hook stays for good: it only looks while `written` is watched.
            if watching and event == "open" and set(str(arguments[1])) & set("wax+"):
                written.append(arguments)

        watching = [True]
        sys.addaudithook(watch)
        try:
            stored(size=9 * 1024 * 1024)
        finally:
            watching.clear()
        assert written == []


class TestBadBody:
    @pytest.mark.parametrize(
        ("body", "field", "code"),
        [
            ("[]", "body", "body-not-object"),
            ('"text"', "body", "body-not-object"),
            ("1", "body", "body-not-object"),
            ("null", "body", "body-not-object"),
            ('{"sise": 1}', "sise", "unknown-field"),
            ('{"size": 1, "x": 1}', "x", "unknown-field"),
            *(
                (f'{{"size": {size}}}', "size", "invalid-size")
                for size in (
                    "0", "-1", "1.5", "1.0", "1e3", '"1"', "true", "false", "null",
                    "[]", "{}", "67108865", "1" + "0" * 4000,
                )
            ),
        ],
    )  # fmt: skip
    def test_names_the_field(self, client, body, field, code):
        response = post(client, body)
        assert (response.status_code, slug(response)) == (400, code)
        errors = response.json()["errors"]
        assert [(error["field"], error["code"]) for error in errors] == [(field, code)]
        assert not Upload.objects.exists()

    @pytest.mark.parametrize("body", [b'{"size": 1}}', b"\xff\xfe", b'{"a":' * 2000])
    def test_not_json(self, client, body):
        client.raise_request_exception = False
        response = post(client, body)
        assert (response.status_code, slug(response)) == (400, "parse-error")
        assert "sys." not in response.json()["detail"]
        assert not Upload.objects.exists()


class TestStoreFails:
    @pytest.mark.parametrize(
        ("faults", "status", "recorded"),
        [
            ({"PUT": "403"}, 502, ["failed"]),
            ({"PUT": "503 SlowDown"}, 503, ["retried", "failed"]),
            # A proxy's own: it may have forwarded the request.
            ({"PUT": "503"}, 503, ["retried"]),
            ({"PUT": "500"}, 503, ["retried"]),
            ({"PUT": "lose_request"}, 503, ["retried"]),
            ({"PUT": "lose_answer", "HEAD": "lose_answer"}, 503, ["retried"]),
        ],
        ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else None,
    )
    def test_failed_or_pending(
        self, client, faulty_store, bucket, faults, status, recorded
    ):
        faulty_store.plan = lambda method, path: faults.get(method, "pass")
        response = post_nothing(client)

        assert response.status_code == status
        assert ("Retry-After" in response.headers) == (status == 503)
        upload = Upload.objects.get()
        answer = response.json()
        assert answer["upload_id"] == str(upload.pk)
        assert actions(upload) == ["requested", *recorded]
        expected = Status.FAILED if "failed" in recorded else Status.PENDING
        assert answer["upload_status"] == upload.status == expected
        assert upload.error
        assert keys_in(bucket) == ([upload.key] if "HEAD" in faults else [])

    def test_second_attempt__an_event_and_its_own_duration(self, faulty_store, bucket):
        faulty_store.first("PUT", "503")
        upload = stored()
        assert actions(upload) == ["requested", "retried", "stored"]
        retried = upload.events.get(action=Action.RETRIED)
        assert retried.request_id == "request-1"
        assert retried.detail["attempt"] == 1
        assert "503" in retried.detail["error"]
        assert upload.stored_at is not None
        assert upload.duration is not None
        whole = upload.stored_at - upload.created_at
        assert upload.stored_at - retried.at <= upload.duration < whole

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_clock_set_during_the_put__duration_is_right(
        self, bucket, spy, monkeypatch, hours
    ):
        def set_clock(*_: Any, **__: Any) -> None:
            moved = timezone.now() + timedelta(hours=hours)
            monkeypatch.setattr(timezone, "now", lambda: moved)

        spy(UploadStorage, "put_new", before=set_clock)
        upload = stored()
        assert upload.duration is not None
        assert timedelta(0) < upload.duration < timedelta(hours=1)

    def test_no_permit__503_and_nothing_recorded(self, client, no_permit):
        response = post_nothing(client)
        assert (response.status_code, slug(response)) == (503, "store-busy")
        assert response["Retry-After"] == "5"
        assert not Upload.objects.exists()


class TestDatabaseUnavailable:
    """After the PUT, see test_held_rows."""

    def test_before_the_put__nothing_in_the_bucket(
        self, client, bucket, make_fail, caplog
    ):
        error = OperationalError("password=secret is wrong")
        make_fail(log, "RawCursor", error)
        response = post_nothing(client)
        assert (response.status_code, slug(response)) == (503, "trail-unavailable")
        assert response["Retry-After"] == "5"
        assert "secret" not in response.content.decode()
        assert "upload_id" not in response.json()
        assert keys_in(bucket) == []
        assert str(error) in caplog.text
        assert "Traceback" not in caplog.text

    def test_statement_refused__logged_with_its_traceback(
        self, client, bucket, make_fail, caplog
    ):
        make_fail(log, "RawCursor", ProgrammingError("no such column"))
        assert post_nothing(client).status_code == 503
        assert keys_in(bucket) == []
        assert "Traceback" in caplog.text


def test_reconciled_as_stored_before_the_put__stored_once(bucket, spy):
    def reconcile(storage: Any, key: str, *rest: Any, **more: Any) -> Any:
        other = Upload.objects.get(key=key)
        transitions.record(
            other, Action.STORED, Actor(name="command:reconcile_uploads")
        )

    spy(UploadStorage, "put_new", before=reconcile)
    assert stored().status == Status.STORED
    assert actions(Upload.objects.get()) == ["requested", "stored"]


@pytest.mark.django_db(transaction=True)
def test_killed_between_put_and_commit__pending_and_present(
    bucket, service_environment
):
    program = """
import os, django
django.setup()
from mirrorsite.actors import Actor
from uploads import transitions, services
transitions.record = lambda *arguments, **values: os.kill(os.getpid(), 9)
services.create_upload(actor=Actor())
"""
    connection.close()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | service_environment,
        check=False,
    )
    assert done.returncode == -9
    upload = Upload.objects.get()
    assert upload.status == Status.PENDING
    assert actions(upload) == ["requested"]
    assert bucket.head(upload.key).sha256 == upload.sha256
