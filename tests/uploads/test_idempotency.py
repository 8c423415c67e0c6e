"""Idempotency-Key: one upload per key, whatever happens to its requests."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest.mock import Mock
from uuid import RFC_4122

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone
from prometheus_client import REGISTRY

from mirrorsite.tokens.models import Scope
from tests.problems import slug
from tests.tokens import bearer, new_token
from tests.uploads.making import ACTOR, actions, keys_in, put_raw
from tests.uploads.retrying import KEY, interrupted, post
from uploads import services, transitions
from uploads.exceptions import (
    StoreRefusedError,
    StoreUnavailableError,
    UploadFailedError,
)
from uploads.idempotency import IdempotencyKey, longest_attempt, parse_key
from uploads.models import Action, Status, Upload
from uploads.storage import UploadStorage


def unrecorded() -> float:
    """Return how many uploads the metrics count as unrecorded."""
    labels = {"outcome": "unrecorded"}
    return REGISTRY.get_sample_value("mirrorsite_uploads_total", labels) or 0


class TestParseKey:
    @pytest.mark.parametrize(
        ("value", "key"),
        [
            ("k", "k"),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ('"k"', "k"),
            (' \t"k"\t', "k"),
            ('"a b"', "a b"),
            ("a b", "a b"),
            (r'"a\"b\\c"', 'a"b\\c'),
            ('a"b', 'a"b'),
            ("~" * 255, "~" * 255),
            ('"' + "k" * 255 + '"', "k" * 255),
            ("", None),
            ('""', None),
            ('"', None),
            ('"k', None),
            ('"k"x', None),
            ('"a","b"', None),
            ('"a,b"', "a,b"),
            ("a,b", None),  # two headers, joined on the way
            (r'"a\b"', None),
            ("k" * 256, None),
            ('"' + "k" * 256 + '"', None),
            ("k\x00", None),
            ("k\x7f", None),
            ("\xe9", None),
            ('"\xe9"', None),
            ("a\nb", None),
        ],
    )  # fmt: skip
    def test_parse_key(self, value, key):
        assert parse_key(value) == key


class TestUploadId:
    def test_pure_function_of_scope_and_key(self):
        same = IdempotencyKey(KEY.scope, KEY.key)
        assert same.upload_id == KEY.upload_id
        assert KEY.upload_id.version == 8
        assert KEY.upload_id.variant == RFC_4122
        others = {
            IdempotencyKey(scope, key).upload_id
            for scope, key in (("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"))
        }
        assert len(others) == 4

    def test_not_without_the_secret(self, settings):
        before = KEY.upload_id
        settings.SECRET_KEY = "another" * 10
        assert KEY.upload_id != before


class TestLease:
    @pytest.mark.parametrize(
        ("size", "seconds"),
        [
            # A request is tried twice for 2 + 10 s, with pauses of 0.4 s: 24.4 s.
            # The PUT, a question what became of it, and the database.
            (4, 24.4 + 24.4 + 10),
            # Eight parts and three requests around them, all of it twice.
            (64 * 1024 * 1024, 24.4 * (1 + 2 * 11) + 24.4 + 2 * 6.4 + 10),
        ],
    )
    def test_from_the_timeouts(self, make_storage, size, seconds):
        storage = make_storage(connect_timeout=2, read_timeout=10, max_attempts=2)
        assert longest_attempt(size, storage).total_seconds() == pytest.approx(seconds)


@pytest.mark.django_db
class TestSameKey:
    def test_finished__the_same_answer(self, client, bucket):
        first = post(client)
        second = post(client)
        quoted = post(client, key=f'"{KEY.key}"')
        empty = post(client, {})

        assert first.status_code == 201
        assert "Idempotent-Replayed" not in first
        for again in (second, quoted, empty):
            assert again.status_code == 201
            assert again["Idempotent-Replayed"] == "true"
            assert again["Location"] == first["Location"]
            assert again.content == first.content
        upload = Upload.objects.get()
        assert actions(upload) == ["requested", "stored"]
        assert keys_in(bucket) == [upload.key]
        assert upload.key.startswith("uploads/")
        assert upload.key.endswith(f"/{upload.pk}.txt")

    @pytest.mark.parametrize(
        "action", [Action.MISSING, Action.CORRUPTED, Action.PURGED]
    )
    def test_finished__whatever_came_after(self, client, bucket, action):
        first = post(client, {"size": 10})
        transitions.record(Upload.objects.get(), action, ACTOR)
        again = post(client, {"size": 10})
        assert again["Idempotent-Replayed"] == "true"
        assert again.content == first.content

    def test_other_body__422(self, client, bucket):
        first = post(client, {"size": 10})
        for body in (None, {"size": 11}):
            answer = post(client, body)
            assert (answer.status_code, slug(answer)) == (422, "idempotency-key-reused")
            assert answer.json()["upload_id"] == first.json()["id"]
        assert Upload.objects.count() == 1

    def test_bad_body__400_and_key_unused(self, client, bucket):
        assert post(client, {"size": 0}).status_code == 400
        assert post(client, {"size": 1}).status_code == 201

    @pytest.mark.parametrize("key", ["", "k" * 256, '"open', "\x7f"])
    def test_malformed__400(self, client, key):
        answer = post(client, key=key)
        assert (answer.status_code, slug(answer)) == (400, "invalid-idempotency-key")
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
        assert not Upload.objects.exists()

    def test_actors_do_not_meet(self, client, bucket, settings):
        answers = [post(client)]
        for name in ("one", "two"):
            _, secret = new_token(Scope.UPLOAD, name=name)
            answers.append(post(client, **bearer(secret)))
        settings.TRUSTED_PROXIES = 1
        answers.append(post(client, **{"x-forwarded-for": "192.0.2.9"}))
        assert [answer.status_code for answer in answers] == [201] * 4
        assert len({answer.json()["id"] for answer in answers}) == 4

    def test_without_header__two_uploads(self, client, bucket):
        for _ in range(2):
            client.generic("POST", "/api/upload-random")
        assert Upload.objects.count() == 2
        assert not Upload.objects.exclude(idempotency_key="").exists()
        assert not Upload.objects.exclude(attempt_started_at=None).exists()

    def test_another_secret_key__still_found(self, client, bucket, settings):
        first = post(client)
        settings.SECRET_KEY = "another" * 10
        again = post(client)
        assert again["Idempotent-Replayed"] == "true"
        assert again.content == first.content
        assert post(client, {"size": 3}).status_code == 422


@pytest.mark.django_db
class TestTriedAgain:
    def test_running__409(self, client, bucket):
        upload = interrupted(stored=False)
        answer = post(client)
        assert (answer.status_code, slug(answer)) == (409, "idempotency-key-in-use")
        assert 1 <= int(answer["Retry-After"]) <= 5
        assert actions(upload) == ["requested"]

    @pytest.mark.parametrize("stored", [True, False])
    def test_worker_gone__completed(self, client, bucket, stored):
        long_ago = timezone.now() - longest_attempt(4, bucket)
        upload = interrupted(stored=stored, attempt_started_at=long_ago)

        answer = post(client)

        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer
        assert answer.json()["id"] == str(upload.pk)
        assert answer.json()["key"] == upload.key
        assert actions(upload) == ["requested", "requested", "stored"]
        assert keys_in(bucket) == [upload.key]
        assert post(client).content == answer.content
        upload.refresh_from_db()
        assert upload.stored_at is not None
        assert upload.attempt_started_at is not None
        assert upload.duration is not None
        whole = upload.stored_at - upload.attempt_started_at  # by another clock
        assert upload.duration < whole + timedelta(seconds=1)

    def test_clock_was_hours_ahead__not_in_use_for_hours(self, client, bucket):
        ahead = timezone.now() + timedelta(hours=3)
        upload = interrupted(stored=True, attempt_started_at=ahead)
        assert post(client).status_code == 201
        assert actions(upload) == ["requested", "requested", "stored"]

    @pytest.mark.parametrize("fault", ["403", "503", "lose_request", "lose_answer"])
    def test_failure_or_lost_answer__one_object(
        self, client, bucket, faulty_store, fault
    ):
        def plan(method: str, path: str) -> str:
            return fault if method == "PUT" else "503" if method == "HEAD" else "pass"

        faulty_store.plan = plan
        failed = post(client)
        assert failed.status_code in {502, 503}
        upload = Upload.objects.get()
        assert upload.status in {Status.FAILED, Status.PENDING}
        faulty_store.plan = lambda method, path: "pass"

        answer = post(client)

        assert answer.status_code == 201
        assert answer.json()["id"] == failed.json()["upload_id"]
        assert keys_in(bucket) == [upload.key]
        upload.refresh_from_db()
        assert (upload.status, upload.error) == (Status.STORED, "")
        assert actions(upload)[-2:] == ["requested", "stored"]
        assert post(client).content == answer.content

    @pytest.mark.parametrize(
        "error",
        [
            StoreRefusedError("refused"),
            StoreUnavailableError("no answer", outcome_unknown=True),
        ],
    )
    def test_fails_after_its_lease__the_later_attempt_still_runs(
        self, bucket, monkeypatch, error
    ):
        def fail_late(*arguments: Any, **options: Any) -> None:
            later = Upload.objects.get()
            transitions.record_new_attempt(later, ACTOR, bucket=bucket.bucket_name)
            raise error

        monkeypatch.setattr(UploadStorage, "put_new", fail_late)
        with pytest.raises(UploadFailedError) as caught:
            services.create_upload(actor=ACTOR, idempotency_key=KEY)

        assert caught.value.upload.status == Status.PENDING
        upload = Upload.objects.get()
        assert (upload.status, upload.error) == (Status.PENDING, "")
        assert upload.attempt_started_at is not None
        assert actions(upload) == ["requested", "requested"]

    def test_bucket_changed__failed_try_moves_with_it(
        self, client, bucket, other_bucket, faulty_store
    ):
        faulty_store.always("PUT", "403")
        assert post(client).status_code == 502
        new = other_bucket()

        answer = post(client)

        assert answer.status_code == 201
        upload = Upload.objects.get()
        assert answer.json()["bucket"] == upload.bucket == new.bucket_name
        assert keys_in(new) == [upload.key]
        assert keys_in(bucket) == []
        begun = upload.events.filter(action=Action.REQUESTED).order_by("pk")
        assert [event.detail["bucket"] for event in begun] == [
            bucket.bucket_name,
            new.bucket_name,
        ]

    @pytest.mark.parametrize("stored", [True, False])
    def test_bucket_changed__open_outcome_is_not_left_behind(
        self, client, bucket, other_bucket, stored
    ):
        """The first bucket may hold the object, and only this record tells of it."""
        upload = interrupted(stored=stored, attempt_started_at=None)
        new = other_bucket()

        answer = post(client)

        assert answer.status_code == 502
        assert answer.json()["upload_status"] == "pending"
        assert "an earlier attempt was for another bucket" in answer.json()["detail"]
        upload.refresh_from_db()
        assert (upload.bucket, upload.status) == (bucket.bucket_name, Status.PENDING)
        assert keys_in(new) == []
        assert actions(upload) == ["requested"]

    def test_row_lost__no_second_object(self, client, bucket):
        """The object is there, and this database knows nothing of it."""
        payload = services.payload_of(KEY.upload_id, 100)
        key = f"{services.day_prefix(timezone.now())}{KEY.upload_id}.txt"
        bucket.put_new(key, payload, {"upload-id": str(KEY.upload_id)})

        answer = post(client, {"size": 100})

        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer
        assert answer.json()["key"] == key
        assert answer.json()["sha256"] == payload.sha256
        assert keys_in(bucket) == [key]

    def test_adopted_from_the_bucket__replayed(self, client, bucket):
        """The row was lost, and reconciliation has made one from the object."""
        interrupted(
            stored=True,
            idempotency_scope="",
            idempotency_key="",
            idempotency_fingerprint="",
            attempt_started_at=None,
        )
        Upload.objects.update(status=Status.STORED, stored_at=timezone.now())
        assert post(client)["Idempotent-Replayed"] == "true"
        assert post(client, {"size": 999}).status_code == 422

    @pytest.mark.parametrize("later", [None, Action.MISSING, Action.PURGED])
    def test_verified_in_the_end__replayed(self, client, bucket, later):
        """Another object had the key for a while; then the right one was found."""
        upload = interrupted(stored=True, attempt_started_at=None)
        for action in (Action.CORRUPTED, Action.VERIFIED, later):
            if action is not None:
                transitions.record(upload, action, ACTOR)
        answer = post(client)
        assert (answer.status_code, answer.json()["id"]) == (201, str(upload.pk))
        assert answer.headers["Idempotent-Replayed"] == "true"

    def test_foreign_object_under_the_key__502(self, client, bucket):
        upload = interrupted(stored=False, attempt_started_at=None)
        put_raw(bucket, upload.key, b"something else")
        for _ in range(2):
            answer = post(client)
            assert (answer.status_code, slug(answer)) == (502, "store-refused")
        assert keys_in(bucket) == [upload.key]

    def test_database_away__503(self, client, monkeypatch, bucket):
        gone = Mock(side_effect=OperationalError("gone"))
        monkeypatch.setattr(connections["default"], "cursor", gone)
        before = unrecorded()
        answer = post(client)
        assert (answer.status_code, slug(answer)) == (503, "trail-unavailable")
        assert keys_in(bucket) == []
        assert unrecorded() == before + 1


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    def test_threads__one_takes_up_what_was_abandoned(self, bucket):
        upload = interrupted(stored=False, attempt_started_at=None)
        start = threading.Barrier(8)

        def run() -> str:
            start.wait()
            try:
                services.create_upload(actor=ACTOR, idempotency_key=KEY)
            except Exception as error:  # noqa: BLE001 its name is the outcome
                return type(error).__name__
            finally:
                connection.close()
            return "done"

        with ThreadPoolExecutor(8) as pool:
            outcomes = [task.result() for task in [pool.submit(run) for _ in range(8)]]

        assert set(outcomes) <= {"done", "StillRunningError"}
        assert "done" in outcomes
        assert actions(upload) == ["requested", "requested", "stored"]
        assert keys_in(bucket) == [upload.key]
