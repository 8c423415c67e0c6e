"""What is a disagreement of bucket and record, and what is none.

test_reconcile_uploads has one of each kind.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.utils import timezone

from tests.uploads import making
from tests.uploads.making import put_raw
from tests.uploads.reconciliation.reconciling import ACTOR, FIX, found, purged
from uploads import services, transitions
from uploads.exceptions import StoreRefusedError
from uploads.models import Action, Status, Upload, new_upload_id
from uploads.object_verification import verify_upload
from uploads.reconciliation import FindingKind, Options, reconcile, scan_pairs
from uploads.storage import PART_BYTES, UploadStorage, upload_storage

pytestmark = pytest.mark.django_db


class TestReconcile:
    def test_reconcile__agreement(self, bucket):
        making.stored()
        making.failed()
        # Copies of seals, and whatever else is in the bucket, are not its business.
        for key in ("audit/1.json", "uploads.txt", "other/x"):
            put_raw(bucket, key, b"x")
        assert found(FIX) == []

    def test_reconcile__pending_and_forged_metadata(self, bucket):
        """Other bytes of the right size that say of themselves what was intended."""
        size = PART_BYTES + 1
        upload = making.pending(size)
        making.put(upload, size)
        making.overwrite_in_parts(bucket, upload)
        (finding,) = reconcile(FIX, scan_pairs())
        assert (finding.kind, finding.outcome) == (FindingKind.DIFFERS, "repaired")
        assert finding.evidence["sha256_from"] == "bytes"
        assert finding.evidence["sha256"] != upload.sha256
        assert making.actions(upload) == ["requested", "corrupted"]

    def test_reconcile__pending_and_another_owner(self, bucket):
        """The right bytes under another upload's name are not this upload's object."""
        upload = making.pending()
        payload = services.payload_of(upload.pk, None)
        other = str(new_upload_id())
        upload_storage().put_new(upload.key, payload, {"upload-id": other})
        (finding,) = reconcile(FIX, scan_pairs())
        assert finding.kind == FindingKind.DIFFERS
        assert finding.evidence["differences"] == [
            f"upload-id in the metadata is {other}, not {upload.pk}"
        ]

    def test_reconcile__corrupted_and_missing(self, bucket):
        upload = making.stored()
        transitions.record(upload, Action.CORRUPTED, making.ACTOR)
        assert found(FIX) == []  # it is known, until verify_uploads looks again
        making.delete_object(bucket, upload.key)
        assert found(FIX) == [("stored but missing", upload.key, "repaired")]
        assert making.actions(upload)[-2:] == ["corrupted", "missing"]

    def test_reconcile__overwritten(self, bucket):
        """Found although size and all metadata are as recorded."""
        upload = making.stored(size=1)
        making.overwrite(bucket, upload.key, b"x")
        (finding,) = reconcile(FIX, scan_pairs())
        assert finding.kind == FindingKind.DIFFERS
        assert finding.evidence["differences"][-1] == (
            f"SHA-256 is {hashlib.sha256(b'x').hexdigest()}, not {upload.sha256}"
        )
        assert making.actions(upload)[-1] == "corrupted"
        assert found(FIX) == []

    def test_verify__first_seen_corrupted_and_intact_now__stored_without_error(
        self, bucket
    ):
        """Its attempt failed by its record; the object that arrived was overwritten."""
        upload = making.failed()
        put_raw(bucket, upload.key, b"another")
        assert found(FIX) == [("size or checksum differs", upload.key, "repaired")]
        making.delete_object(bucket, upload.key)
        making.put(upload)
        upload.refresh_from_db()
        verify_upload(upload, actor=ACTOR)
        upload.refresh_from_db()
        assert (upload.status, upload.error) == (Status.STORED, "")
        assert upload.stored_at is not None

    @pytest.mark.parametrize("metadata", [{}, {"upload-id": "another"}])
    def test_reconcile__purge_of_an_adopted_upload_interrupted(self, bucket, metadata):
        """The object of an adopted upload need not have its id in the metadata."""
        key = "uploads/stray.bin"
        put_raw(bucket, key, b"stray", **metadata)
        list(reconcile(FIX, scan_pairs()))
        upload = Upload.objects.get()
        transitions.record(upload, Action.PURGED, making.ACTOR)
        assert found(FIX) == [("purged but present", key, "repaired")]
        assert not making.exists(bucket, key)
        assert making.actions(upload) == ["adopted", "purged", "purged"]

    def test_reconcile__purged_but_the_object_has_another_owner(self, bucket):
        upload = purged()
        body = b"".join(bucket.read(upload.key))
        put_raw(bucket, upload.key, body, **{"upload-id": str(new_upload_id())})
        assert found(FIX) == [("purged but present", upload.key, "skipped")]
        assert making.exists(bucket, upload.key)

    def test_reconcile__purge_refused(self, bucket, make_fail):
        """What cannot be deleted is not left recorded as purged."""
        upload = purged()
        make_fail(
            UploadStorage,
            "delete_unchanged",
            StoreRefusedError("the object store answered 403 AccessDenied"),
        )
        assert found(FIX) == [("purged but present", upload.key, "repaired")]
        upload.refresh_from_db()
        assert upload.status == Status.STORED
        assert found(FIX) == []

    def test_reconcile__begun_in_parts_and_left(self, bucket):
        """What a killed worker, or an abort that a dead store missed, leaves behind."""
        upload = making.stored()
        for key in (upload.key, "elsewhere/a.txt"):
            bucket.client.create_multipart_upload(Bucket=bucket.bucket_name, Key=key)
        left = ("unfinished multipart upload", upload.key)
        assert found() == [(*left, "found")]
        young = Options(actor=ACTOR, min_age=timedelta(days=36500), fix=True)
        assert found(young) == []
        assert found(FIX) == [(*left, "repaired")]
        assert found() == []
        assert making.actions(upload) == ["requested", "stored"]
        assert [u.key for u in bucket.multipart_uploads("")] == ["elsewhere/a.txt"]

    def test_reconcile__min_age_counts_from_the_last_event(self, bucket):
        """An old upload that is being tried again is under way."""
        upload = making.failed(age=timedelta(days=3))
        transitions.record(upload, Action.REQUESTED, making.ACTOR)
        assert list(reconcile(Options(actor=ACTOR), scan_pairs())) == []

    def test_reconcile__recorded_by_a_clock_that_was_ahead(self, bucket):
        """Not in progress until the time of its last event is past."""
        upload = making.pending(age=-timedelta(days=1))
        for options in (Options(actor=ACTOR), FIX):
            ((kind, key, _),) = found(options)
            assert (kind, key) == ("pending and absent", upload.key)


class TestAdoption:
    @pytest.mark.parametrize("code", ["InvalidObjectState", "KMS.DisabledException"])
    def test_adopt__unreadable__left_alone_and_the_next_one_adopted(
        self, bucket, monkeypatch, code
    ):
        for name in ("a", "b"):
            put_raw(bucket, f"uploads/2026/11/01/{name}.txt", b"x")
        head = type(bucket).head

        def archived(storage: Any, key: str, **options: Any) -> Any:
            if key.endswith("a.txt"):
                raise StoreRefusedError("the object store answered 403", code)
            return head(storage, key, **options)

        monkeypatch.setattr(type(bucket), "head", archived)
        first, second = reconcile(FIX, scan_pairs())
        assert (first.outcome, first.note) == (
            "skipped",
            "the object store answered 403",
        )
        assert (second.key[-5:], second.outcome) == ("b.txt", "repaired")

    def test_adopt__access_denied__the_end(self, bucket, monkeypatch):
        put_raw(bucket, "uploads/2026/11/01/a.txt", b"x")
        denied = Mock(side_effect=StoreRefusedError("denied", "AccessDenied"))
        monkeypatch.setattr(type(bucket), "head", denied)
        with pytest.raises(StoreRefusedError):
            list(reconcile(FIX, scan_pairs()))

    def test_adopt__dated_by_a_clock_that_is_ahead(self, bucket, monkeypatch):
        put_raw(bucket, "uploads/2026/11/01/a.txt", b"x")
        yesterday = timezone.now() - timedelta(days=1)
        monkeypatch.setattr(timezone, "now", lambda: yesterday)
        ((kind, *_),) = found(Options(actor=ACTOR))
        assert kind == "object without record"

    def test_adopt__everything_known(self, bucket):
        """The database lost the record; the object tells it again."""
        upload_id = new_upload_id()
        key = f"uploads/2026/11/01/{upload_id}.txt"
        payload = services.payload_of(upload_id, 100)
        bucket.put_new(
            key, payload, {"upload-id": str(upload_id), "request-id": "request-9"}
        )
        (finding,) = reconcile(FIX, scan_pairs())
        assert (finding.kind, finding.outcome) == (FindingKind.NO_RECORD, "repaired")

        upload = Upload.objects.get(pk=upload_id)
        assert upload.status == Status.STORED
        assert upload.sha256 == payload.sha256
        assert upload.size == 100
        assert upload.request_id == "request-9"
        assert upload.requester_name == "unknown"
        assert upload.stored_at == bucket.head(key).last_modified
        event = upload.events.get()
        assert (event.action, event.actor) == ("adopted", ACTOR.name)
        assert event.detail["sources"] == {
            "sha256": "checksum computed by the store",
            "id": "metadata",
            "request_id": "metadata",
        }
        assert "rejected_metadata" not in event.detail
        assert found(FIX) == []

    @pytest.mark.parametrize(
        "metadata",
        [
            {},
            {"sha256": "1" * 64},
            {"upload-id": "nonsense", "request-id": "a b", "sha256": "nonsense"},
            {"upload-id": "{" + "0" * 32 + "}"},
        ],
    )
    def test_adopt__by_the_bytes_and_not_the_metadata(self, bucket, metadata):
        put_raw(bucket, "uploads/stray.bin", b"stray", **metadata)
        list(reconcile(FIX, scan_pairs()))
        upload = Upload.objects.get()
        assert upload.sha256 == hashlib.sha256(b"stray").hexdigest()
        assert upload.request_id == ""
        detail = upload.events.get().detail
        assert detail["sources"] == {
            "sha256": "bytes read",
            "id": "new",
            "request_id": "unknown",
        }
        assert detail.get("rejected_metadata", {}) == metadata
        assert verify_upload(upload, actor=ACTOR).action == Action.VERIFIED

    def test_adopt__id_taken(self, bucket):
        """A copy of an object does not become the upload it was copied from."""
        original = making.stored()
        bucket.client.copy_object(
            Bucket=bucket.bucket_name,
            Key="uploads/copy.txt",
            CopySource={"Bucket": bucket.bucket_name, "Key": original.key},
        )
        list(reconcile(FIX, scan_pairs()))
        copy = Upload.objects.get(key="uploads/copy.txt")
        assert copy.pk != original.pk
        assert copy.events.get().detail["rejected_metadata"] == {
            "upload-id": str(original.pk)
        }
