"""An object without a record gets one, which says what is believed and why."""

from __future__ import annotations

import hashlib

import pytest

from tests.uploads import making
from tests.uploads.reconciliation.reconciling import ACTOR, FIX, found, put_raw
from uploads import services
from uploads.models import Action, Status, Upload, new_upload_id
from uploads.reconciliation import FindingKind, reconcile
from uploads.verification import verify_upload

pytestmark = pytest.mark.django_db


class TestAdoption:
    def test_adopt__everything_known(self, bucket):
        """The database lost the record; the object tells it again."""
        upload_id = new_upload_id()
        key = f"uploads/2026/11/01/{upload_id}.txt"
        payload = services.payload_of(upload_id, 100)
        bucket.put_new(
            key, payload, {"upload-id": str(upload_id), "request-id": "request-9"}
        )
        (finding,) = reconcile(FIX)
        assert (finding.word, finding.outcome) == (FindingKind.NO_RECORD, "repaired")

        upload = Upload.objects.get(pk=upload_id)
        assert upload.status == Status.STORED
        assert upload.sha256 == payload.sha256
        assert upload.size == 100
        assert upload.request_id == "request-9"
        assert upload.requester_name == "unknown"
        assert upload.stored_at == bucket.head(key).last_modified
        event = upload.events.get()
        assert (event.action, event.actor) == ("adopted", ACTOR.name)
        assert event.detail["known_from"] == {
            "sha256": "checksum computed by the store",
            "id": "metadata",
            "request_id": "metadata",
        }
        assert "claims_not_believed" not in event.detail
        assert found(FIX) == []

    def test_adopt__nothing_known(self, bucket):
        put_raw(bucket, "uploads/stray.bin", b"stray")
        list(reconcile(FIX))
        upload = Upload.objects.get()
        assert upload.sha256 == hashlib.sha256(b"stray").hexdigest()
        assert upload.events.get().detail["known_from"] == {
            "sha256": "bytes read",
            "id": "new",
            "request_id": "unknown",
        }

    def test_adopt__wrong_checksum_claimed(self, bucket):
        """Without a checksum of the store, the bytes say it and not the metadata."""
        put_raw(bucket, "uploads/liar.txt", b"truth", sha256="1" * 64)
        list(reconcile(FIX))
        upload = Upload.objects.get()
        assert upload.sha256 == hashlib.sha256(b"truth").hexdigest()
        assert upload.events.get().detail["claims_not_believed"] == {"sha256": "1" * 64}
        assert verify_upload(upload, actor=ACTOR).action == Action.VERIFIED

    def test_adopt__id_taken(self, bucket):
        """A copy of an object does not become the upload it was copied from."""
        original = making.stored()
        bucket.client.copy_object(
            Bucket=bucket.bucket_name,
            Key="uploads/copy.txt",
            CopySource={"Bucket": bucket.bucket_name, "Key": original.key},
        )
        list(reconcile(FIX))
        copy = Upload.objects.get(key="uploads/copy.txt")
        assert copy.pk != original.pk
        assert copy.events.get().detail["claims_not_believed"] == {
            "upload-id": str(original.pk)
        }

    @pytest.mark.parametrize("claim", ["nonsense", "0" * 32, "{" + "0" * 32 + "}"])
    def test_adopt__malformed_claims(self, bucket, claim):
        metadata = {"upload-id": claim, "request-id": "a b", "sha256": claim}
        put_raw(bucket, "uploads/odd.txt", b"odd", **metadata)
        list(reconcile(FIX))
        upload = Upload.objects.get()
        assert upload.sha256 == hashlib.sha256(b"odd").hexdigest()
        assert upload.request_id == ""
        assert upload.events.get().detail["claims_not_believed"] == metadata
