from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tests.uploads import making
from uploads import reconciliation, services, trail
from uploads.exceptions import StoreRefusedError, UploadFailedError
from uploads.models import Action, Status, Upload, UploadEvent, new_upload_id
from uploads.reconciliation import Finding, Plan, Word, reconcile, side_by_side
from uploads.storage import PART_BYTES, UploadStorage
from uploads.trail import Caller
from uploads.verification import verify_upload

pytestmark = pytest.mark.django_db

CALLER = Caller(name="command:reconcile_uploads")
NOW = Plan(caller=CALLER, min_age=timedelta(0))
FIX = Plan(caller=CALLER, min_age=timedelta(0), fix=True)


def found(plan: Plan = NOW) -> list[tuple[str, str, str]]:
    return [(f.word.value, f.key, f.outcome) for f in reconcile(plan)]


def put_raw(bucket: UploadStorage, key: str, body: bytes, **metadata: str) -> None:
    bucket.client.put_object(
        Bucket=bucket.bucket_name, Key=key, Body=body, Metadata=metadata
    )


def purged(*, age: timedelta = making.HOUR) -> Upload:
    """Return an upload recorded as purged whose object is still there."""
    upload = making.pending(age=age)
    making.put(upload)
    head = services.upload_storage().head(upload.key)
    trail.record(upload, Action.STORED, making.CALLER, etag=head.etag)
    trail.record(upload, Action.PURGED, making.CALLER)
    return upload


class TestReconcile:
    def test_reconcile__agreement(self, bucket: UploadStorage) -> None:
        making.stored()
        making.stored(size=9 * 1024 * 1024)
        making.failed()
        assert found(FIX) == []

    def test_reconcile__pending_and_present(self, bucket: UploadStorage) -> None:
        upload = making.pending()
        making.put(upload)

        assert found() == [("pending and present", upload.key, "found")]
        assert making.actions(upload) == ["requested"]
        assert found(FIX) == [("pending and present", upload.key, "repaired")]

        upload.refresh_from_db()
        head = bucket.head(upload.key)
        assert (upload.status, upload.etag) == (Status.STORED, head.etag)
        assert upload.stored_at == head.last_modified
        event = upload.events.get(action=Action.STORED)
        assert event.actor == "command:reconcile_uploads"
        assert event.detail["sha256"] == upload.sha256
        assert event.detail["sha256_from"] == "store"
        assert found(FIX) == []

    def test_reconcile__pending_and_absent(self, bucket: UploadStorage) -> None:
        upload = making.pending()
        assert found() == [("pending and absent", upload.key, "found")]
        assert found(FIX) == [("pending and absent", upload.key, "repaired")]
        upload.refresh_from_db()
        assert upload.status == Status.FAILED
        assert upload.error == "reconciliation found no object"
        assert found(FIX) == []

    def test_reconcile__pending_and_other_bytes(self, bucket: UploadStorage) -> None:
        upload = making.pending()
        put_raw(bucket, upload.key, b"other", **{"upload-id": str(upload.pk)})
        assert found(FIX) == [("size or checksum differs", upload.key, "repaired")]
        assert making.actions(upload) == ["requested", "corrupted"]
        assert found() == []

    def test_reconcile__pending_and_forged_metadata(
        self, bucket: UploadStorage
    ) -> None:
        """Other bytes of the right size that say of themselves what was intended."""
        size = PART_BYTES + 1
        upload = making.pending(size)
        making.put(upload, size)
        making.overwrite_in_parts(bucket, upload)
        (finding,) = reconcile(FIX)
        assert (finding.word, finding.outcome) == (Word.DIFFERS, "repaired")
        assert finding.seen["sha256_from"] == "bytes"
        assert finding.seen["sha256"] != upload.sha256
        assert making.actions(upload) == ["requested", "corrupted"]

    def test_reconcile__pending_and_another_owner(self, bucket: UploadStorage) -> None:
        """The right bytes under another upload's name are not this upload's object."""
        upload = making.pending()
        payload = services.payload_of(upload.pk, None)
        other = str(new_upload_id())
        services.upload_storage().put_new(upload.key, payload, {"upload-id": other})
        (finding,) = reconcile(FIX)
        assert finding.word == Word.DIFFERS
        assert finding.seen["differences"] == [
            f"upload-id in the metadata is {other}, not {upload.pk}"
        ]

    def test_reconcile__stored_but_missing(self, bucket: UploadStorage) -> None:
        upload = making.stored()
        making.delete_object(bucket, upload.key)
        assert found() == [("stored but missing", upload.key, "found")]
        assert found(FIX) == [("stored but missing", upload.key, "repaired")]
        assert making.actions(upload) == ["requested", "stored", "missing"]
        assert found(FIX) == []

    def test_reconcile__corrupted_and_missing(self, bucket: UploadStorage) -> None:
        upload = making.stored()
        trail.record(upload, Action.CORRUPTED, making.CALLER)
        assert found(FIX) == []  # it is known, until verify_uploads looks again
        making.delete_object(bucket, upload.key)
        assert found(FIX) == [("stored but missing", upload.key, "repaired")]
        assert making.actions(upload)[-2:] == ["corrupted", "missing"]

    @pytest.mark.parametrize("body", [b"longer than it was", b"x"])
    def test_reconcile__overwritten(self, bucket: UploadStorage, body: bytes) -> None:
        """Found although size (in one case) and all metadata are as recorded."""
        upload = making.stored(size=1)
        making.overwrite(bucket, upload.key, body)
        (finding,) = reconcile(FIX)
        assert finding.word == Word.DIFFERS
        assert finding.seen["differences"][-1] == (
            f"SHA-256 is {hashlib.sha256(body).hexdigest()}, not {upload.sha256}"
        )
        assert making.actions(upload)[-1] == "corrupted"
        assert found(FIX) == []

    def test_reconcile__purged_but_present(self, bucket: UploadStorage) -> None:
        upload = purged()
        assert found() == [("purged but present", upload.key, "found")]
        assert found(FIX) == [("purged but present", upload.key, "repaired")]
        assert not bucket.exists(upload.key)
        assert making.actions(upload)[-2:] == ["purged", "purged"]
        assert found(FIX) == []

    def test_reconcile__purged_but_another_is_present(
        self, bucket: UploadStorage
    ) -> None:
        upload = purged()
        making.overwrite(bucket, upload.key, b"somebody's")
        assert found(FIX) == [("purged but present", upload.key, "skipped")]
        assert bucket.head(upload.key).size == len(b"somebody's")

    def test_reconcile__purge_refused(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What cannot be deleted is not left recorded as purged."""

        def refuse(self: UploadStorage, key: str, etag: str) -> None:
            raise StoreRefusedError("the object store answered 403 AccessDenied")

        upload = purged()
        monkeypatch.setattr(UploadStorage, "delete_unchanged", refuse)
        assert found(FIX) == [("purged but present", upload.key, "repaired")]
        upload.refresh_from_db()
        assert upload.status == Status.STORED
        assert found(FIX) == []

    @pytest.mark.parametrize(
        ("upload_status", "action"),
        [(Status.FAILED, "stored"), (Status.MISSING, "verified")],
    )
    def test_reconcile__given_up_but_present(
        self, bucket: UploadStorage, upload_status: Status, action: str
    ) -> None:
        """A PUT can arrive after it was given up; an object can come back."""
        upload = making.pending()
        making.put(upload)
        etag = bucket.head(upload.key).etag
        if upload_status == Status.FAILED:
            trail.record(upload, Action.FAILED, making.CALLER)
        else:
            trail.record(upload, Action.STORED, making.CALLER, etag=etag)
            trail.record(upload, Action.MISSING, making.CALLER)
        expected = f"{upload_status} but present"
        assert found(FIX) == [(expected, upload.key, "repaired")]
        assert making.actions(upload)[-1] == action
        assert found(FIX) == []

    def test_reconcile__begun_in_parts_and_left(self, bucket: UploadStorage) -> None:
        """What a killed worker, or an abort that a dead store missed, leaves behind."""
        upload = making.stored()
        for key in (upload.key, "elsewhere/a.txt"):
            bucket.client.create_multipart_upload(Bucket=bucket.bucket_name, Key=key)
        left = ("begun in parts and left", upload.key)
        assert found() == [(*left, "found")]
        young = Plan(caller=CALLER, min_age=timedelta(days=36500), fix=True)
        assert found(young) == []
        assert found(FIX) == [(*left, "repaired")]
        assert found() == []
        assert making.actions(upload) == ["requested", "stored"]
        assert [u.key for u in bucket.unfinished("")] == ["elsewhere/a.txt"]

    def test_reconcile__only_uploads(self, bucket: UploadStorage) -> None:
        """Copies of seals, and whatever else is in the bucket, are not its business."""
        for key in ("audit/1.json", "uploads.txt", "other/x"):
            put_raw(bucket, key, b"x")
        assert found(FIX) == []

    def test_reconcile__min_age(self, bucket: UploadStorage) -> None:
        upload = making.pending(age=timedelta(minutes=10))
        put_raw(bucket, "uploads/new.txt", b"x")
        assert list(reconcile(Plan(caller=CALLER))) == []
        young = Plan(caller=CALLER, min_age=timedelta(minutes=9))
        assert [f.key for f in reconcile(young)] == [upload.key]

    def test_reconcile__min_age_counts_from_the_last_event(
        self, bucket: UploadStorage
    ) -> None:
        """An old upload that is being tried again is under way."""
        upload = making.failed(age=timedelta(days=3))
        trail.record(upload, Action.REQUESTED, making.CALLER)
        assert list(reconcile(Plan(caller=CALLER))) == []

    def test_reconcile__checksums(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A change that leaves size and ETag as recorded shows in the checksum alone."""
        upload = making.stored(size=5)
        making.overwrite(bucket, upload.key, b"12345")
        etag = bucket.head(upload.key).etag
        Upload.objects.filter(pk=upload.pk).update(etag=etag)
        assert found() == []
        plan = Plan(caller=CALLER, min_age=timedelta(0), checksums=True)
        assert found(plan) == [("size or checksum differs", upload.key, "found")]


class TestSideBySide:
    KEYS = (
        "uploads/a/b.txt",
        "uploads/a-b.txt",
        "uploads/a b.txt",
        "uploads/a.txt",
        "uploads/A.txt",
        "uploads/ä.txt",
        "uploads/\uff5e.txt",  # above the surrogates of UTF-16, below the next
        "uploads/😀.txt",
        "uploads/_.txt",
        "uploads/2026/11/23/x.txt",
    )

    def _record(self, key: str) -> Upload:
        upload = Upload(
            bucket="b", key=key, size=1, sha256="0" * 64, requester_name="t"
        )
        trail.begin(upload, CALLER)
        return upload

    def test_recorded__byte_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reconciliation, "PAGE", 3)
        for key in random.sample(self.KEYS, len(self.KEYS)):
            self._record(key)
        keys = [row.key for row in reconciliation.recorded()]
        assert keys == sorted(self.KEYS, key=str.encode)

    def test_key_collation(self, postgresql: None) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT collation_name FROM information_schema.columns"
                " WHERE table_name = 'uploads_upload' AND column_name = 'key'"
            )
            assert cursor.fetchone() == ("C",)

    def test_side_by_side__store_with_another_order(
        self, bucket: UploadStorage
    ) -> None:
        """SeaweedFS lists a/b before a-b; nothing is misjudged for it."""
        for key in self.KEYS:
            put_raw(bucket, key, b"x")
        assert sorted(key for _, key, _ in found(FIX)) == sorted(self.KEYS)
        listed = [listed.key for listed in bucket.listing("uploads/")]
        assert listed != sorted(listed, key=str.encode)
        assert found(FIX) == []

    def test_side_by_side__listing_in_no_order(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As S3 directory buckets list: each true difference once, no other."""
        kept = [making.stored() for _ in range(5)]
        lost = making.stored()
        making.delete_object(bucket, lost.key)
        late = making.pending()
        making.put(late)
        put_raw(bucket, "uploads/unknown.txt", b"x")
        straight = UploadStorage.listing

        def backwards(self: UploadStorage, prefix: str) -> Iterator[Any]:
            objects = list(straight(self, prefix))
            assert len(objects) == len(kept) + 2
            return reversed(objects)

        monkeypatch.setattr(UploadStorage, "listing", backwards)
        assert sorted(found()) == [
            ("object without record", "uploads/unknown.txt", "found"),
            ("pending and present", late.key, "found"),
            ("stored but missing", lost.key, "found"),
        ]

    def test_side_by_side__pages(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconciliation, "PAGE", 2)
        uploads = [making.stored() for _ in range(5)]
        pairs = list(side_by_side())
        assert [row.id for _, row in pairs if row] == [u.pk for u in uploads]
        assert all(listed and row for listed, row in pairs)

    def test_side_by_side__since(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The days since then on either side, and whatever hangs from before."""
        making.stored()
        gone = making.stored()
        making.delete_object(bucket, gone.key)
        hanging = making.pending(age=timedelta(days=9))
        lost = making.pending(age=timedelta(days=9))
        trail.record(lost, Action.STORED, making.CALLER)
        put_raw(bucket, "uploads/2026/11/01/unknown.txt", b"x")
        asked: list[str] = []
        listing = UploadStorage.listing

        def noted(self: UploadStorage, prefix: str) -> Iterator[Any]:
            asked.append(prefix)
            return listing(self, prefix)

        monkeypatch.setattr(UploadStorage, "listing", noted)
        now = timezone.now()
        pairs = side_by_side(now - timedelta(days=1))
        assert [finding.key for finding in reconcile(NOW, pairs)] == [
            hanging.key,
            gone.key,
        ]
        assert asked == [
            hanging.key,
            *(f"uploads/{now + timedelta(days=more):%Y/%m/%d}/" for more in (-1, 0, 1)),
        ]
        assert len(found()) == 4

    @pytest.mark.parametrize("retried", [False, True])
    def test_side_by_side__since__an_older_upload_whose_object_is_there(
        self, bucket: UploadStorage, retried: bool
    ) -> None:
        """Its key has an older day: an upload tried again keeps its first one."""
        upload = making.pending(age=timedelta(days=9))
        if retried:
            trail.record(upload, Action.FAILED, making.CALLER)
            trail.begin_again(upload, making.CALLER, bucket=bucket.bucket_name)
        making.put(upload)
        put_raw(bucket, f"{upload.key}.txt", b"of another")
        since = timezone.now() - timedelta(days=1)
        assert [
            (finding.word.value, finding.key, finding.outcome)
            for finding in reconcile(FIX, side_by_side(since))
        ] == [("pending and present", upload.key, "repaired")]
        upload.refresh_from_db()
        assert upload.status == Status.STORED

    def test_side_by_side__since__a_purge_that_was_interrupted(
        self, bucket: UploadStorage
    ) -> None:
        """What is purged is old; the crash was a moment ago."""
        done = purged(age=timedelta(days=40))
        making.delete_object(bucket, done.key)
        interrupted = purged(age=timedelta(days=40))
        since = timezone.now() - timedelta(days=1)
        assert [
            (finding.word.value, finding.key, finding.outcome)
            for finding in reconcile(FIX, side_by_side(since))
        ] == [("purged but present", interrupted.key, "repaired")]
        assert not list(reconcile(FIX, side_by_side(since)))

    def test_side_by_side__since_by_the_clock_of_elsewhere(
        self, bucket: UploadStorage
    ) -> None:
        """Keys have the day of UTC, whatever the zone of the time that is given."""
        now = timezone.now()
        hours_ahead = timezone.get_fixed_timezone(14 * 60)
        midnight = now.replace(hour=0, minute=0).astimezone(hours_ahead)
        upload = making.stored()
        rows = [row for _, row in side_by_side(midnight) if row]
        assert [row.key for row in rows] == [upload.key]

    def test_side_by_side__since_asks_an_index(self, postgresql: None) -> None:
        """As planned for many rows; for none it depends on what was there before.

        Rows of other tests, rolled back or deleted, stay in table and indexes until they
        are vacuumed away, and statistics of them are taken meanwhile.
        """
        Upload.objects.bulk_create(
            Upload(
                bucket="b",
                key=f"uploads/2026/11/{day:02}/{number:03}.txt",
                status=Status.STORED if number else Status.PENDING,
                size=1,
                sha256="0" * 64,
                requester_name="t",
            )
            for day in range(1, 29)
            for number in range(100)
        )
        with connection.cursor() as cursor:
            cursor.execute(f"REINDEX TABLE {Upload._meta.db_table}")
            cursor.execute(f"ANALYZE {Upload._meta.db_table}")
        since = "uploads/2026/11/28/"
        recent = Upload.objects.filter(key__gt=since).order_by("key")
        older = Upload.objects.filter(status=Status.PENDING, key__lt=since)
        hanging = older.order_by("key")
        assert "uploads_upload_key" in recent[:1000].explain()
        assert "upload_not_stored" in hanging[:1000].explain()


class TestAdoption:
    def test_adopt__everything_known(self, bucket: UploadStorage) -> None:
        """The database lost the record; the object tells it again."""
        upload_id = new_upload_id()
        key = f"uploads/2026/11/01/{upload_id}.txt"
        payload = services.payload_of(upload_id, 100)
        bucket.put_new(
            key, payload, {"upload-id": str(upload_id), "request-id": "request-9"}
        )
        (finding,) = reconcile(FIX)
        assert (finding.word, finding.outcome) == (Word.NO_RECORD, "repaired")

        upload = Upload.objects.get(pk=upload_id)
        assert upload.status == Status.STORED
        assert upload.sha256 == payload.sha256
        assert upload.size == 100
        assert upload.request_id == "request-9"
        assert upload.requester_name == "unknown"
        assert upload.stored_at == bucket.head(key).last_modified
        event = upload.events.get()
        assert (event.action, event.actor) == ("adopted", CALLER.name)
        assert event.detail["known_from"] == {
            "sha256": "checksum computed by the store",
            "id": "metadata",
            "request_id": "metadata",
        }
        assert "claims_not_believed" not in event.detail
        assert found(FIX) == []

    def test_adopt__nothing_known(self, bucket: UploadStorage) -> None:
        put_raw(bucket, "uploads/stray.bin", b"stray")
        list(reconcile(FIX))
        upload = Upload.objects.get()
        assert upload.sha256 == hashlib.sha256(b"stray").hexdigest()
        assert upload.events.get().detail["known_from"] == {
            "sha256": "bytes read",
            "id": "new",
            "request_id": "unknown",
        }

    def test_adopt__wrong_checksum_claimed(self, bucket: UploadStorage) -> None:
        """Without a checksum of the store, the bytes say it and not the metadata."""
        put_raw(bucket, "uploads/liar.txt", b"truth", sha256="1" * 64)
        list(reconcile(FIX))
        upload = Upload.objects.get()
        assert upload.sha256 == hashlib.sha256(b"truth").hexdigest()
        assert upload.events.get().detail["claims_not_believed"] == {"sha256": "1" * 64}
        assert verify_upload(upload, caller=CALLER).action == Action.VERIFIED

    def test_adopt__id_taken(self, bucket: UploadStorage) -> None:
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
    def test_adopt__malformed_claims(self, bucket: UploadStorage, claim: str) -> None:
        metadata = {"upload-id": claim, "request-id": "a b", "sha256": claim}
        put_raw(bucket, "uploads/odd.txt", b"odd", **metadata)
        list(reconcile(FIX))
        upload = Upload.objects.get()
        assert upload.sha256 == hashlib.sha256(b"odd").hexdigest()
        assert upload.request_id == ""
        assert upload.events.get().detail["claims_not_believed"] == metadata


class TestTogether:
    """Reconcilers beside each other, or beside an upload that is finishing."""

    def test_settle__upload_finished_meanwhile(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The service is faster by a hair: its word stands, no second event."""
        upload = making.pending()
        making.put(upload)
        walk = reconcile(FIX)
        judge = reconciliation._judge

        def finish_after_judging(*args: Any) -> Finding | None:
            finding = judge(*args)
            fresh = Upload.objects.get(pk=upload.pk)
            trail.record(fresh, Action.STORED, making.CALLER)
            return finding

        monkeypatch.setattr(reconciliation, "_judge", finish_after_judging)
        (finding,) = walk
        assert finding.outcome == "skipped"
        assert making.actions(upload) == ["requested", "stored"]

    def test_judge__upload_finished_while_the_bucket_was_asked(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = making.pending()
        head = UploadStorage.head

        def finish_after_head(self: UploadStorage, key: str) -> Any:
            try:
                return head(self, key)
            finally:
                monkeypatch.setattr(UploadStorage, "head", head)
                fresh = Upload.objects.get(pk=upload.pk)
                making.put(fresh)
                trail.record(fresh, Action.STORED, making.CALLER)

        monkeypatch.setattr(UploadStorage, "head", finish_after_head)
        assert found(FIX) == []
        assert making.actions(upload) == ["requested", "stored"]

    def test_two_reconcilers(self, bucket: UploadStorage) -> None:
        """Both find the same; each difference is repaired once."""
        for _ in range(3):
            making.put(making.pending())
        making.pending()
        put_raw(bucket, "uploads/x.txt", b"x")
        pairs = list(side_by_side())
        judged = [
            finding
            for listed, row in pairs
            if (finding := reconciliation._judge(NOW, listed, row))
        ]
        first = [reconciliation._settled(FIX, finding) for finding in judged]
        second = [reconciliation._settled(FIX, finding) for finding in judged]
        assert {finding.outcome for finding in first} == {"repaired"}
        assert {finding.outcome for finding in second} == {"skipped"}
        assert UploadEvent.objects.count() == 4 * 2 + 1

    def test_late_put_after_reconciliation_gave_up(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The service's answer is 201 and its record stored, whatever came between."""
        put_new = UploadStorage.put_new

        def reconciled_before_put(self: UploadStorage, *args: Any) -> Any:
            assert found(FIX)[0][0] == "pending and absent"
            return put_new(self, *args)

        monkeypatch.setattr(UploadStorage, "put_new", reconciled_before_put)
        upload = making.stored()
        assert making.actions(upload) == ["requested", "failed", "stored"]
        assert found(FIX) == []

    def test_two_reconcilers_while_the_service_records(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One gave the upload up, one found it again, each between two statements."""
        put_new, reload = UploadStorage.put_new, trail.reload

        def reconciled_before_put(self: UploadStorage, *args: Any) -> Any:
            found(FIX)
            return put_new(self, *args)

        def reconciled_after_reload(upload: Upload) -> None:
            reload(upload)
            found(FIX)

        monkeypatch.setattr(UploadStorage, "put_new", reconciled_before_put)
        monkeypatch.setattr(trail, "reload", reconciled_after_reload)
        upload = making.stored()
        assert upload.status == Status.STORED
        assert making.actions(upload) == ["requested", "failed", "stored"]
        last = upload.events.get(action=Action.STORED)
        assert last.actor == CALLER.name

    def test_overwritten_while_the_service_records(
        self, bucket: UploadStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No 201 for what is not there any more, and no 500 either."""
        put_new = UploadStorage.put_new

        def overwritten(self: UploadStorage, key: str, *args: Any) -> Any:
            stored = put_new(self, key, *args)
            making.overwrite(bucket, key, b"other bytes")
            assert found(FIX)[0][0] == "size or checksum differs"
            return stored

        monkeypatch.setattr(UploadStorage, "put_new", overwritten)
        with pytest.raises(UploadFailedError, match="is corrupted already"):
            making.stored()
