"""purge_uploads as its operators meet it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.utils import timezone

from tests.uploads import making
from tests.uploads.making import run
from uploads import retention, transitions
from uploads.exceptions import (
    StoreRefusedError,
    StoreUnavailableError,
    TrailUnavailableError,
    TransitionError,
)
from uploads.models import Action, Upload
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db


def old(*, sealed: bool = True, age: timedelta = timedelta(days=40)) -> Upload:
    upload = making.stored(age=age)
    if sealed:
        making.seal(upload)
    upload.refresh_from_db()
    return upload


def fail_for(upload: Upload, error: BaseException) -> Callable[..., None]:
    """Return what raises, once it is asked to delete this upload's object."""

    def delete(storage: UploadStorage, key: str, etag: str) -> None:
        if key == upload.key:
            raise error

    return delete


def purge(*more: str) -> tuple[int, str]:
    return run("purge_uploads", "--older-than", "30d", *more)


class TestPurgeUploads:
    def test_dry_run__then_yes(self, bucket):
        upload, young = old(), old(age=timedelta(days=20))
        assert purge() == (
            0,
            f"would purge: {upload.key}\n1 would purge ({upload.size} bytes)\n"
            "nothing was deleted; add --yes to delete\n",
        )
        assert making.exists(bucket, upload.key)
        assert purge("--yes") == (
            0,
            f"purged: {upload.key}\n1 purged ({upload.size} bytes)\n",
        )
        assert [making.exists(bucket, u.key) for u in (upload, young)] == [False, True]
        event = upload.events.get(action=Action.PURGED)
        assert event.actor == "command:purge_uploads"
        assert event.detail["sha256"] == upload.sha256
        assert event.detail["reason"].startswith("stored before 20")
        assert run("reconcile_uploads", "--min-age", "0s")[0] == 0
        assert purge("--yes") == (0, "nothing to purge (0 bytes)\n")
        making.seal(upload)  # the purge itself too
        assert purge("--yes") == (0, "nothing to purge (0 bytes)\n")

    def test_no_bucket__nothing_recorded(self, bucket):
        upload = old()
        making.delete_object(bucket, upload.key)
        bucket.client.delete_bucket(Bucket=bucket.bucket_name)
        assert purge("--yes") == (2, "")
        bucket.ensure_bucket()
        assert making.actions(upload) == ["requested", "stored"]

    def test_another_bucket__left_alone(self, bucket, other_bucket):
        upload = old()
        other_bucket()
        assert purge("--yes") == (0, "nothing to purge (0 bytes)\n")
        assert making.exists(bucket, upload.key)

    def test_never_what_is_unsealed_or_not_stored_or_young(self, bucket):
        unsealed, half, young = old(sealed=False), old(), old(age=timedelta(days=1))
        transitions.record(half, Action.VERIFIED, making.ACTOR)  # a new, unsealed event
        pending = making.pending(age=timedelta(days=90))
        making.put(pending)
        making.seal(pending)
        # A column that no seal covers does not decide the age.
        long_ago = timezone.now() - timedelta(days=90)
        row = Upload.objects.filter(pk=young.pk)
        row.update(stored_at=long_ago, created_at=long_ago)
        assert purge("--yes") == (0, "nothing to purge (0 bytes)\n")
        for upload in (unsealed, half, young, pending):
            assert making.exists(bucket, upload.key)

    def test_never_what_is_unsealed__since_the_page_was_read(
        self, bucket, monkeypatch, spy
    ):
        upload = old()

        def download() -> None:
            transitions.record_event(Action.DOWNLOADED, making.ACTOR, upload=upload)

        spy(retention, "write_transaction", before=download)
        status, text = purge("--yes")
        assert status == 1
        assert text.startswith(f"left alone: {upload.key}: it has changed, or has an")
        assert making.exists(bucket, upload.key)
        assert "purged" not in making.actions(upload)
        monkeypatch.undo()
        making.seal(upload)
        assert purge("--yes")[0] == 0
        assert not making.exists(bucket, upload.key)

    def test_never_what_is_not_what_was_recorded(self, bucket):
        upload, missing = old(), old()
        making.overwrite(bucket, upload.key, b"somebody's work")
        making.delete_object(bucket, missing.key)
        status, text = purge("--yes", "--json")
        assert status == 1
        told = [json.loads(line) for line in text.splitlines()[:2]]
        assert [result["outcome"] for result in told] == ["left alone"] * 2
        assert told[1]["note"] == "the object is missing"
        assert bucket.head(upload.key).size == len(b"somebody's work")
        for one in (upload, missing):
            assert making.actions(one) == ["requested", "stored"]

    def test_replaced_within_the_moment(self, bucket, monkeypatch, spy):
        """The delete is conditional: what came in between is not ours, and stays."""
        upload = old()

        def replace(*args: Any, **kwargs: Any) -> None:
            making.overwrite(bucket, upload.key, b"somebody's")

        spy(transitions, "record", after=replace)
        assert purge("--yes")[0] == 0
        monkeypatch.undo()
        assert bucket.head(upload.key).size == len(b"somebody's")
        _, text = run("reconcile_uploads", "--min-age", "0s", "--fix")
        assert text.startswith(f"purged but present: {upload.key}; size is 10")
        assert "left alone: another object has the key" in text

    def test_two_purgers__one_event(self, bucket, monkeypatch, spy):
        """Both have compared the object with its record; one is faster to record."""
        upload = old()

        def faster() -> None:
            monkeypatch.undo()
            assert purge("--yes")[1].startswith("purged: ")

        spy(retention, "write_transaction", before=faster)
        assert purge("--yes")[1].startswith("purged by another run: ")
        assert making.actions(upload).count("purged") == 1


class TestSeveralAtATime:
    def test_jobs(self, bucket, spy):
        uploads = [old() for _ in range(7)]
        three = threading.Barrier(3, timeout=30)

        def together(self: UploadStorage, key: str, etag: str) -> None:
            if key != uploads[6].key:  # alone at the end
                three.wait()

        spy(UploadStorage, "delete_unchanged", before=together)
        status, text = purge("--yes", "--jobs", "3")
        assert status == 0
        assert text.splitlines()[:7] == [f"purged: {u.key}" for u in uploads]
        assert not any(making.exists(bucket, upload.key) for upload in uploads)
        assert run("reconcile_uploads", "--min-age", "0s")[0] == 0

    @pytest.mark.parametrize(
        ("error", "status", "last"),
        [
            (StoreRefusedError("403 AccessDenied"), 1, "verified"),
            (StoreUnavailableError("away", outcome_unknown=True), 2, "purged"),
        ],
        ids=["refused", "away"],
    )
    def test_one_not_deleted__the_others_are(
        self, bucket, monkeypatch, spy, error, status, last
    ):
        uploads = [old() for _ in range(3)]
        spy(UploadStorage, "delete_unchanged", before=fail_for(uploads[0], error))
        found, text = purge("--yes")
        monkeypatch.undo()
        assert found == status
        assert text.count("purged: ") == 2
        assert [making.exists(bucket, u.key) for u in uploads] == [True, False, False]
        assert [making.actions(u)[-1] for u in uploads] == [last, "purged", "purged"]
        _, text = run("reconcile_uploads", "--min-age", "0s", "--fix")
        assert text.startswith("purged but present") is (last == "purged")
        assert making.exists(bucket, uploads[0].key) is (last == "verified")

    @pytest.mark.parametrize(
        ("error", "status"),
        [(TrailUnavailableError("unavailable"), 2), (KeyboardInterrupt, 130)],
    )
    def test_ends_while_recording__what_is_recorded_is_deleted(
        self, bucket, monkeypatch, spy, error, status
    ):
        """By a second run these would not be the last purges any more."""
        uploads = [old() for _ in range(3)]
        recording = Mock(side_effect=[None, error])
        spy(retention, "write_transaction", before=recording)
        assert purge("--yes") == (status, f"purged: {uploads[0].key}\n")
        assert [making.exists(bucket, u.key) for u in uploads] == [False, True, True]
        monkeypatch.undo()
        assert run("reconcile_uploads", "--min-age", "0s")[0] == 0

    @pytest.mark.parametrize(
        "error",
        [
            TrailUnavailableError("unavailable"),
            TransitionError("reconciliation was faster"),
        ],
    )
    def test_one_refused_and_not_reverted__the_others_are_told(
        self, bucket, monkeypatch, spy, error
    ):
        uploads = [old() for _ in range(3)]
        refuse = fail_for(uploads[0], StoreRefusedError("403 AccessDenied"))

        def goes(upload: Upload, action: Action, *args: Any, **kwargs: Any) -> None:
            if action == Action.VERIFIED:
                raise error

        spy(UploadStorage, "delete_unchanged", before=refuse)
        spy(transitions, "record", before=goes)
        status, text = purge("--yes")
        assert (status, text) == (2, "".join(f"purged: {u.key}\n" for u in uploads[1:]))
        monkeypatch.undo()
        _, text = run("reconcile_uploads", "--min-age", "0s")
        assert text.startswith(f"purged but present: {uploads[0].key}")
