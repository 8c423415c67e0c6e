"""Intent, act, outcome: the order that keeps the promise."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import Any

import pytest
from django.db import connection

from mirrorsite.actors import Actor
from tests.conftest import service_database_url
from tests.uploads.records import refuse_inserts
from uploads import services
from uploads.audit import log, sql
from uploads.exceptions import (
    TrailUnavailableError,
    UploadFailedError,
)
from uploads.models import Action, Status, Upload
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db

ACTOR = Actor(address="192.0.2.7", user_agent="tests", request_id="request-1")


def actions(upload: Upload) -> list[str]:
    return [event.action for event in upload.events.order_by("id")]


def keys_in(bucket: UploadStorage) -> list[str]:
    answer = bucket.client.list_objects_v2(Bucket=bucket.bucket_name)
    return [entry["Key"] for entry in answer.get("Contents", [])]


class TestCreateUpload:
    def test_stored(self, bucket):
        upload = services.create_upload(actor=ACTOR).upload

        body = bucket.client.get_object(Bucket=bucket.bucket_name, Key=upload.key)
        content = body["Body"].read()
        body["Body"].close()
        assert content == str(upload.number).encode()
        assert hashlib.sha256(content).hexdigest() == upload.sha256
        assert body["Metadata"] == {
            "upload-id": str(upload.pk),
            "request-id": "request-1",
            "sha256": upload.sha256,
        }
        assert body["ContentType"].startswith("text/plain")
        row = Upload.objects.get()
        assert row.status == Status.STORED
        assert row.etag == body["ETag"].strip('"')
        assert row.stored_at is not None
        assert row.duration == row.stored_at - row.created_at
        assert row.client_address == "192.0.2.7"

    def test_stored__events_tell_the_whole_story(self, bucket):
        upload = services.create_upload(actor=ACTOR, size=100).upload

        requested, stored = upload.events.order_by("id")
        assert requested.action == Action.REQUESTED
        assert requested.detail == {
            "bucket": bucket.bucket_name,
            "key": upload.key,
            "size": 100,
            "sha256": upload.sha256,
            "number": upload.number,
            "client_address": "192.0.2.7",
            "user_agent": "tests",
        }
        assert stored.action == Action.STORED
        assert stored.detail == {
            "size": 100,
            "sha256": upload.sha256,
            "etag": upload.etag,
            "version_id": "",
        }
        assert {event.request_id for event in (requested, stored)} == {"request-1"}

    def test_key__date_and_time_ordered_id(self, bucket):
        first = services.create_upload(actor=ACTOR).upload
        second = services.create_upload(actor=ACTOR).upload
        day = f"{first.created_at:%Y/%m/%d}"
        assert first.key == f"uploads/{day}/{first.pk}.txt"
        assert first.pk.version == 7
        assert first.pk < second.pk

    def test_nothing_is_written_to_the_local_disk(self, bucket):
        written: list[object] = []

        def watch(event: str, arguments: tuple[object, ...]) -> None:
            # An audit hook stays for good: it only looks while `written` is watched.
            if watching and event == "open" and set(str(arguments[1])) & set("wax+"):
                written.append(arguments)

        watching = [True]
        sys.addaudithook(watch)
        try:
            services.create_upload(actor=ACTOR, size=9 * 1024 * 1024)
        finally:
            watching.clear()
        assert written == []


class TestDatabaseAway:
    def test_before_the_put__nothing_in_the_bucket(self, bucket, monkeypatch):
        monkeypatch.setattr(sql, "RawCursor", refuse_inserts)
        with pytest.raises(TrailUnavailableError) as caught:
            services.create_upload(actor=ACTOR)
        assert caught.value.upload_id is None
        assert keys_in(bucket) == []

    def test_after_the_put__pending_and_present(self, bucket, monkeypatch):
        def refuse(*arguments: Any, **options: Any) -> None:
            raise TrailUnavailableError("the database is away")

        monkeypatch.setattr(log, "record", refuse)
        with pytest.raises(TrailUnavailableError) as caught:
            services.create_upload(actor=ACTOR)
        upload = Upload.objects.get()
        assert caught.value.upload_id == upload.pk
        assert upload.status == Status.PENDING
        assert actions(upload) == [Action.REQUESTED]
        assert bucket.head(upload.key).sha256 == upload.sha256


class TestStoreFails:
    @pytest.mark.parametrize(
        ("fault", "status", "recorded"),
        [
            ("403", Status.FAILED, [Action.REQUESTED, Action.FAILED]),
            ("503", Status.FAILED, [Action.REQUESTED, Action.RETRIED, Action.FAILED]),
            ("500", Status.PENDING, [Action.REQUESTED, Action.RETRIED]),
            ("lose_request", Status.PENDING, [Action.REQUESTED, Action.RETRIED]),
        ],
    )
    def test_no_object__failed_or_pending(
        self, faulty_store, bucket, fault, status, recorded
    ):
        faulty_store.always("PUT", fault)
        with pytest.raises(UploadFailedError) as caught:
            services.create_upload(actor=ACTOR)

        upload = Upload.objects.get()
        assert caught.value.upload.pk == upload.pk
        assert caught.value.upload.status == upload.status == status
        assert actions(upload) == recorded
        assert upload.error
        assert keys_in(bucket) == []

    def test_second_attempt__an_event_and_its_own_duration(self, faulty_store, bucket):
        faulty_store.first("PUT", "503")

        services.create_upload(actor=ACTOR)

        upload = Upload.objects.get()
        assert actions(upload) == [Action.REQUESTED, Action.RETRIED, Action.STORED]
        retried = upload.events.get(action=Action.RETRIED)
        assert retried.request_id == "request-1"
        assert retried.detail["attempt"] == 1
        assert "503" in retried.detail["error"]
        assert upload.stored_at is not None
        assert upload.duration is not None
        whole = upload.stored_at - upload.created_at
        assert upload.stored_at - retried.at <= upload.duration < whole

    def test_answer_lost__stored(self, faulty_store, bucket):
        faulty_store.always("PUT", "lose_answer")
        upload = services.create_upload(actor=ACTOR).upload
        assert upload.status == Status.STORED
        assert bucket.head(upload.key).sha256 == upload.sha256

    def test_answer_lost_and_no_look__pending_and_present(self, faulty_store, bucket):
        faulty_store.plan = lambda method, path: "lose_answer"
        with pytest.raises(UploadFailedError):
            services.create_upload(actor=ACTOR)
        upload = Upload.objects.get()
        assert upload.status == Status.PENDING
        assert upload.error
        assert bucket.head(upload.key).sha256 == upload.sha256


class TestReconciledMeanwhile:
    """Reconciliation may judge an upload while its request is still under way."""

    @pytest.mark.parametrize(
        ("judged", "after"),
        [
            (Action.STORED, [Action.REQUESTED, Action.STORED]),
            (Action.FAILED, [Action.REQUESTED, Action.FAILED, Action.STORED]),
        ],
    )
    def test_stored_in_the_end(self, bucket, monkeypatch, judged, after):
        put_new = UploadStorage.put_new

        def judge_then_put(
            storage: UploadStorage, key: str, *rest: Any, **more: Any
        ) -> Any:
            other = Upload.objects.get(key=key)
            log.record(other, judged, Actor(name="command:reconcile_uploads"))
            return put_new(storage, key, *rest, **more)

        monkeypatch.setattr(UploadStorage, "put_new", judge_then_put)
        upload = services.create_upload(actor=ACTOR).upload

        assert upload.status == Status.STORED
        assert actions(Upload.objects.get()) == after


@pytest.mark.django_db(transaction=True)
class TestKilled:
    def test_between_put_and_commit__pending_and_present(self, bucket, object_store):
        program = """
import os, django
django.setup()
from mirrorsite.actors import Actor
from uploads import services
from uploads.audit import log
log.record = lambda *arguments, **values: os.kill(os.getpid(), 9)
services.create_upload(actor=Actor())
"""
        connection.close()
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
                "DATABASE_URL": service_database_url(),
                **object_store.environment(bucket.bucket_name),
            },
            check=False,
        )
        assert done.returncode == -9
        upload = Upload.objects.get()
        assert upload.status == Status.PENDING
        assert actions(upload) == [Action.REQUESTED]
        assert bucket.head(upload.key).sha256 == upload.sha256
