"""A try that failed or was lost is completed under its own id."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from tests.uploads.idempotency.retrying import (
    ACTOR,
    KEY,
    actions,
    interrupted,
    objects_in,
    post,
    slug,
)
from uploads import services
from uploads.idempotency import longest_attempt
from uploads.models import Action, Status, Upload


@pytest.mark.django_db
class TestTriedAgain:
    def test_running__409(self, client, bucket):
        upload = interrupted(bucket, stored=False)
        answer = post(client)
        assert (answer.status_code, slug(answer)) == (409, "idempotency-key-in-use")
        assert 1 <= int(answer["Retry-After"]) <= 5
        assert actions(upload) == ["requested"]

    @pytest.mark.parametrize("stored", [True, False])
    def test_worker_gone__completed(self, client, bucket, stored):
        long_ago = timezone.now() - longest_attempt(4, bucket)
        upload = interrupted(bucket, stored=stored, attempt_started_at=long_ago)

        answer = post(client)

        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer
        assert answer.json()["id"] == str(upload.pk)
        assert answer.json()["key"] == upload.key
        assert actions(upload) == ["requested", "requested", "stored"]
        assert objects_in(bucket) == [upload.key]
        assert post(client).content == answer.content
        upload.refresh_from_db()
        assert upload.stored_at is not None
        assert upload.attempt_started_at is not None
        assert upload.duration == upload.stored_at - upload.attempt_started_at

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
        assert objects_in(bucket) == [upload.key]
        upload.refresh_from_db()
        assert (upload.status, upload.error) == (Status.STORED, "")
        assert actions(upload)[-2:] == ["requested", "stored"]
        assert post(client).content == answer.content

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
        assert objects_in(new) == [upload.key]
        assert objects_in(bucket) == []
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
        upload = interrupted(bucket, stored=stored, attempt_started_at=None)
        new = other_bucket()

        answer = post(client)

        assert answer.status_code == 502
        assert answer.json()["upload_status"] == "pending"
        upload.refresh_from_db()
        assert (upload.bucket, upload.status) == (bucket.bucket_name, Status.PENDING)
        assert objects_in(new) == []
        assert actions(upload) == ["requested"]

    def test_row_lost__no_second_object(self, client, bucket):
        """The object is there, and this database knows nothing of it."""
        payload = services.payload_of(KEY.upload_id, 100)
        key = services.object_key(KEY.upload_id, timezone.now())
        bucket.put_new(key, payload, {"upload-id": str(KEY.upload_id)})

        answer = post(client, {"size": 100})

        assert answer.status_code == 201
        assert "Idempotent-Replayed" not in answer
        assert answer.json()["key"] == key
        assert answer.json()["sha256"] == payload.sha256
        assert objects_in(bucket) == [key]

    def test_adopted_from_the_bucket__replayed(self, client, bucket):
        """The row was lost, and reconciliation has made one from the object."""
        interrupted(
            bucket,
            stored=True,
            idempotency_scope="",
            idempotency_key="",
            idempotency_fingerprint="",
            attempt_started_at=None,
        )
        Upload.objects.update(status=Status.STORED)
        assert post(client)["Idempotent-Replayed"] == "true"
        assert post(client, {"size": 999}).status_code == 422

    def test_foreign_object_under_the_key__502(self, client, bucket):
        upload = interrupted(bucket, stored=False, attempt_started_at=None)
        bucket.client.put_object(
            Bucket=bucket.bucket_name, Key=upload.key, Body=b"something else"
        )
        for _ in range(2):
            answer = post(client)
            assert (answer.status_code, slug(answer)) == (502, "store-refused")
        assert objects_in(bucket) == [upload.key]

    def test_database_away__503(self, client, monkeypatch, bucket):
        def gone(*args: Any, **kwargs: Any) -> Any:
            raise OperationalError("gone")

        monkeypatch.setattr(connections["default"], "cursor", gone)
        answer = post(client)
        assert (answer.status_code, slug(answer)) == (503, "trail-unavailable")
        assert objects_in(bucket) == []


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    def test_threads__one_takes_up_what_was_abandoned(self, bucket):
        upload = interrupted(bucket, stored=False, attempt_started_at=None)
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
        assert objects_in(bucket) == [upload.key]
