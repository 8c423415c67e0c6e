"""verify_uploads as its operators meet it."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.management import call_command
from django.utils import timezone

from mirrorsite.management.base import CommandFailed
from tests.uploads import making
from tests.uploads.making import run
from uploads import object_verification, transitions
from uploads.exceptions import OtherBucketError, StoreUnavailableError
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.storage import PART_BYTES, UploadStorage

pytestmark = pytest.mark.django_db


class TestVerifyUploads:
    def test_outcomes(self, bucket):
        """Whole, gone, overwritten; and one that came back."""
        good, gone, changed, back = (making.stored() for _ in range(4))
        making.delete_object(bucket, gone.key)
        making.overwrite(bucket, changed.key, b"other")
        transitions.record(back, Action.MISSING, making.ACTOR)
        making.failed()
        making.pending()

        status, text = run("verify_uploads")
        assert status == 1
        assert text.splitlines()[-1] == (
            "4 uploads checked: 1 corrupted, 1 missing, 2 verified"
        )
        assert [
            Upload.objects.get(pk=upload.pk).status
            for upload in (good, gone, changed, back)
        ] == [Status.STORED, Status.MISSING, Status.CORRUPTED, Status.STORED]
        event = good.events.get(action=Action.VERIFIED)
        assert event.detail == {"method": "head", "sha256_from": "store"}
        assert event.actor == "command:verify_uploads"

    def test_fine(self, bucket):
        making.stored()
        assert run("verify_uploads") == (0, "1 upload checked: 1 verified\n")
        status, text = run(
            "verify_uploads", "--not-verified-since", "2026-01-01", "--json"
        )
        assert (status, json.loads(text)) == (0, {"uploads": 0, "outcomes": {}})

    def test_objects_in_parts__by_their_etag(self, bucket):
        """The store tells no checksum of the whole, but what it took is unchanged."""
        upload = making.stored(size=PART_BYTES + 1)
        assert run("verify_uploads")[0] == 0
        event = upload.events.get(action=Action.VERIFIED)
        assert event.detail == {"method": "head", "sha256_from": "etag"}
        assert run("verify_uploads", "--read")[0] == 0
        assert upload.events.latest("id").detail["sha256_from"] == "bytes"

    def test_objects_in_parts__overwritten(self, bucket):
        """What the metadata says was copied along; nobody believes it."""
        upload = making.stored(size=PART_BYTES + 1)
        making.overwrite_in_parts(bucket, upload)
        status, text = run("verify_uploads", "--json")
        fault = json.loads(text.splitlines()[0])
        assert (status, fault["action"]) == (1, "corrupted")
        assert fault["differences"][0].startswith("SHA-256 is ")
        detail = upload.events.get(action=Action.CORRUPTED).detail
        assert detail["sha256_from"] == "bytes"

    def test_interrupted__resumed(self, bucket, monkeypatch, spy):
        """What was done stands, and the second run does the rest and no more."""
        monkeypatch.setattr(object_verification, "PAGE", 2)
        for _ in range(5):
            making.stored()
        begun = timezone.now()
        at_third = Mock(side_effect=[None, None, KeyboardInterrupt])
        spy(object_verification, "record_verification", before=at_third)
        with pytest.raises(CommandFailed, match=r"^interrupted;") as caught:
            call_command("verify_uploads", "--jobs", "2")
        told = str(caught.value)
        assert caught.value.returncode == 130
        assert "2 uploads checked: 2 verified" in told
        resume_at = told.removesuffix(".").rpartition("--not-verified-since ")[2]
        assert resume_at >= begun.isoformat()

        monkeypatch.undo()
        assert run("verify_uploads", "--not-verified-since", resume_at) == (
            0,
            "3 uploads checked: 3 verified\n",
        )
        assert UploadEvent.objects.filter(action=Action.VERIFIED).count() == 5

    def test_same_size_and_etag__the_checksum_decides(self, bucket):
        upload = making.stored(size=5)
        making.overwrite(bucket, upload.key, b"12345")
        etag = bucket.head(upload.key).etag
        Upload.objects.filter(pk=upload.pk).update(etag=etag)
        status, text = run("verify_uploads")
        assert status == 1
        assert text.startswith(f"corrupted: {upload.key}: SHA-256 is")

    def test_changed_meanwhile(self, bucket, spy):
        """Purged while its object was looked at: the purge is the last word."""
        upload = making.stored()

        def record(seen: Upload, *args: Any, **kwargs: Any) -> None:
            transitions.record(
                Upload.objects.get(pk=seen.pk), Action.PURGED, making.ACTOR
            )

        spy(object_verification, "record_verification", before=record)
        assert run("verify_uploads") == (
            0,
            "1 upload checked: 1 changed by another request\n",
        )
        upload.refresh_from_db()
        assert upload.status == Status.PURGED

    def test_store_goes_away__nothing_recorded(self, bucket, make_fail):
        upload = making.stored()
        make_fail(
            UploadStorage, "head", StoreUnavailableError("away", outcome_unknown=False)
        )
        assert run("verify_uploads") == (2, "")
        assert making.actions(upload) == ["requested", "stored"]

    def test_another_bucket__counted_and_not_judged(self, bucket, other_bucket):
        upload = making.stored()
        other_bucket()
        expected = "0 uploads checked; 1 in another bucket\n"
        assert run("verify_uploads") == (1, expected)
        _, text = run("verify_uploads", "--json")
        summary = {"uploads": 0, "outcomes": {"in another bucket": 1}}
        assert json.loads(text) == summary
        with pytest.raises(OtherBucketError, match=bucket.bucket_name):
            object_verification.verify_upload(upload, actor=making.ACTOR)
        assert making.actions(upload) == ["requested", "stored"]
