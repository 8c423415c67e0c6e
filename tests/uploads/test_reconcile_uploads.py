"""reconcile_uploads as its operators meet it."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.management import call_command

from mirrorsite.management.base import CommandFailed
from tests.uploads import making
from tests.uploads.making import run
from uploads import object_verification, transitions
from uploads.exceptions import BucketMissingError
from uploads.models import Action, Upload, UploadEvent
from uploads.reconciliation import FindingKind
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db


class TestReconcileUploads:
    def test_dry_run__then_fix__then_fine(self, bucket):
        upload = making.pending()
        line = f"pending and absent: {upload.key}"
        assert run("reconcile_uploads") == (
            1,
            f"{line}\n1 key compared, 1 difference\n",
        )
        assert run("reconcile_uploads", "--fix") == (
            1,
            f"{line} -> failed\n1 key compared, 1 difference, 1 repaired\n",
        )
        assert run("reconcile_uploads", "--fix") == (
            0,
            "1 key compared, 0 differences\n",
        )
        event = upload.events.get(action=Action.FAILED)
        assert event.actor == "command:reconcile_uploads"

    def test_another_bucket__nothing_recorded(self, bucket, other_bucket):
        """A wrong bucket name is no proof that every object was lost."""
        uploads = [making.stored(), making.pending(), making.stored()]
        other_bucket()
        making.put(uploads[2])
        status, text = run("reconcile_uploads", "--fix")
        assert status == 1
        for upload in uploads:
            assert f"recorded in another bucket: {upload.key} (left" in text
        assert "3 left alone" in text
        recorded = [making.actions(upload) for upload in uploads]
        assert recorded == [
            ["requested", "stored"],
            ["requested"],
            ["requested", "stored"],
        ]

    def test_no_bucket__nothing_recorded(self, bucket):
        """HEAD's bare 404 is the same for an object and a bucket that is not there."""
        upload = making.stored()
        making.delete_object(bucket, upload.key)
        bucket.client.delete_bucket(Bucket=bucket.bucket_name)
        assert run("reconcile_uploads", "--fix")[0] == 2
        assert run("verify_uploads")[0] == 2
        with pytest.raises(BucketMissingError):
            object_verification.verify_upload(upload, actor=making.ACTOR)
        bucket.ensure_bucket()
        assert making.actions(upload) == ["requested", "stored"]

    def test_min_age(self, bucket):
        """A quarter of an hour, unless it is given."""
        making.pending(age=timedelta(minutes=14))
        making.put_raw(bucket, "uploads/new.txt", b"x")
        assert run("reconcile_uploads")[0] == 0
        old = making.pending(age=timedelta(minutes=16))
        assert old.key in run("reconcile_uploads")[1]
        assert run("reconcile_uploads", "--min-age", "1h")[0] == 0

    def test_since(self, bucket):
        making.stored()
        lost = making.pending(age=timedelta(days=9))
        transitions.record(lost, Action.STORED, making.ACTOR)
        assert run("reconcile_uploads", "--since", "1d") == (
            0,
            "1 key compared, 0 differences\n",
        )
        assert run("reconcile_uploads", "--since", "9d")[0] == 1

    def test_interrupted__run_again(self, bucket, monkeypatch, spy):
        """What was repaired stands and is told; the second run does the rest."""
        uploads = [making.pending() for _ in range(3)]
        spy(transitions, "record", before=Mock(side_effect=[None, KeyboardInterrupt]))
        with pytest.raises(CommandFailed) as caught:
            call_command("reconcile_uploads", "--fix", stdout=StringIO())
        monkeypatch.undo()
        assert caught.value.returncode == 130
        assert str(caught.value) == (
            "interrupted; 1 key compared, 1 difference, 1 repaired."
        )
        assert run("reconcile_uploads", "--fix")[1].endswith(
            "3 keys compared, 2 differences, 2 repaired\n"
        )
        for upload in uploads:
            assert making.actions(upload) == ["requested", "failed"]


class TestEveryWord:
    """One difference of each kind at once, and the event that settles it, if any."""

    @pytest.fixture
    def expected(self, bucket: UploadStorage) -> dict[str, tuple[Upload, list[str]]]:
        present, absent, late = making.pending(), making.pending(), making.failed()
        making.put(present)
        making.put(late)
        gone, other, kept, back, parts = (making.stored() for _ in range(5))
        making.delete_object(bucket, gone.key)
        making.overwrite(bucket, other.key, b"other")
        transitions.record(kept, Action.PURGED, making.ACTOR)
        transitions.record(back, Action.MISSING, making.ACTOR)
        elsewhere = making.pending(bucket="another-bucket")
        stray = making.new_upload(key="uploads/stray.txt")
        making.put_raw(bucket, stray.key, b"stray")
        bucket.client.create_multipart_upload(Bucket=bucket.bucket_name, Key=parts.key)
        return {
            "pending and present": (present, ["stored"]),
            "pending and absent": (absent, ["failed"]),
            "stored but missing": (gone, ["missing"]),
            "size or checksum differs": (other, ["corrupted"]),
            "object without record": (stray, ["adopted"]),
            "purged but present": (kept, ["purged"]),
            "failed but present": (late, ["stored"]),
            "missing but present": (back, ["verified"]),
            "recorded in another bucket": (elsewhere, []),
            "unfinished multipart upload": (parts, []),
        }

    def snapshot(self, bucket: UploadStorage) -> list[list[Any]]:
        return [
            list(Upload.objects.order_by("pk").values()),
            list(UploadEvent.objects.order_by("pk").values()),
            list(bucket.listing("")),
            list(bucket.multipart_uploads("")),
        ]

    def test_without_fix__told_and_nothing_changes(self, bucket, expected):
        before = self.snapshot(bucket)
        status, text = run("reconcile_uploads", "--min-age", "0s")
        assert status == 1
        for word, (upload, _) in expected.items():
            assert f"{word}: {upload.key}" in text
        status, text = run("reconcile_uploads", "--min-age", "0s", "--json")
        assert status == 1
        *findings, summary = map(json.loads, text.splitlines())
        assert {finding["word"]: finding["key"] for finding in findings} == {
            word: upload.key for word, (upload, _) in expected.items()
        }
        members = {"word", "key", "upload_id", "action", "seen", "outcome", "note"}
        assert all(finding.keys() == members for finding in findings)
        assert summary == {
            "keys": len(expected),
            "differences": dict.fromkeys(expected, 1),
            "outcomes": {"found": len(FindingKind)},
        }
        assert self.snapshot(bucket) == before

    def test_fix__each_repair_is_an_event(self, bucket, expected):
        assert set(expected) == set(FindingKind.values)
        before = [making.actions(upload) for upload, _ in expected.values()]
        assert run("reconcile_uploads", "--fix", "--min-age", "0s")[0] == 1
        rows = {
            word: Upload.objects.get(key=upload.key)
            for word, (upload, _) in expected.items()
        }
        settled = [making.actions(upload) for upload in rows.values()]
        assert settled == [
            old + new for old, (_, new) in zip(before, expected.values(), strict=True)
        ]
        for event in UploadEvent.objects.filter(actor="command:reconcile_uploads"):
            if event.action != "adopted":
                assert event.upload_id == rows[event.detail["finding"]].pk

        present = rows["pending and present"]
        head = bucket.head(present.key)
        assert (present.etag, present.stored_at) == (head.etag, head.last_modified)
        detail = present.events.get(action=Action.STORED).detail
        assert (detail["sha256"], detail["sha256_from"]) == (present.sha256, "store")
        assert rows["pending and absent"].error == "reconciliation found no object"
        assert not making.exists(bucket, rows["purged but present"].key)

        status, text = run("reconcile_uploads", "--fix", "--min-age", "0s")
        assert status == 1  # another bucket is for people to settle
        assert len(text.splitlines()) == 2
