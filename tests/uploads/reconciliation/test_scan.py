"""Both sides in step, whatever the order of the store."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tests.uploads import making
from tests.uploads.making import put_raw
from tests.uploads.reconciliation.reconciling import FIX, found, purged
from uploads import transitions
from uploads.models import Action, Status, Upload
from uploads.reconciliation import scan, scan_pairs
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db


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

    def test_recorded__byte_order(self, monkeypatch):
        monkeypatch.setattr(scan, "PAGE", 3)
        for key in random.sample(self.KEYS, len(self.KEYS)):
            making.record(key=key)
        keys = [row.key for row in scan.recorded_rows(Upload.objects.all())]
        assert keys == sorted(self.KEYS, key=str.encode)

    def test_key_collation(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT collation_name FROM information_schema.columns"
                " WHERE table_name = 'uploads_upload' AND column_name = 'key'"
            )
            assert cursor.fetchone() == ("C",)

    def test_side_by_side__store_with_another_order(self, bucket):
        """SeaweedFS lists a/b before a-b; nothing is misjudged for it."""
        for key in self.KEYS:
            put_raw(bucket, key, b"x")
        assert sorted(key for _, key, _ in found(FIX)) == sorted(self.KEYS)
        listed = [listed.key for listed in bucket.listing("uploads/")]
        assert listed != sorted(listed, key=str.encode)
        assert found(FIX) == []

    def test_side_by_side__listing_in_no_order(self, bucket, monkeypatch):
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

    def test_side_by_side__since(self, bucket):
        """The days since then on either side, and whatever hangs from before."""
        making.stored()
        gone = making.stored()
        making.delete_object(bucket, gone.key)
        hanging = making.pending(age=timedelta(days=9))
        lost = making.pending(age=timedelta(days=9))
        transitions.record(lost, Action.STORED, making.ACTOR)
        put_raw(bucket, "uploads/2026/11/01/unknown.txt", b"x")
        since = timezone.now() - timedelta(days=1)
        assert [key for _, key, _ in found(since=since)] == [hanging.key, gone.key]
        read = [listed for listed, _ in scan_pairs(since) if listed]
        assert "uploads/2026/11/01/unknown.txt" not in {listed.key for listed in read}
        assert len(found()) == 4

    def test_side_by_side__since_long_before_the_first(self, bucket):
        """The same as everything."""
        making.stored()
        put_raw(bucket, "uploads/2025/11/01/unknown.txt", b"x")
        everything = list(scan_pairs())
        assert list(scan_pairs(datetime(1, 1, 1, tzinfo=UTC))) == everything
        assert len(everything) == 2
        since = list(scan_pairs(datetime(2025, 11, 2, tzinfo=UTC)))
        assert since == [pair for pair in everything if pair[1]]

    @pytest.mark.parametrize("retried", [False, True])
    def test_side_by_side__since__an_older_upload_whose_object_is_there(
        self, bucket, retried
    ):
        """Its key has an older day: an upload tried again keeps its first one."""
        upload = making.pending(age=timedelta(days=9))
        if retried:
            transitions.record(upload, Action.FAILED, making.ACTOR)
            transitions.record_new_attempt(
                upload, making.ACTOR, bucket=bucket.bucket_name
            )
        making.put(upload)
        put_raw(bucket, f"{upload.key}.txt", b"of another")
        since = timezone.now() - timedelta(days=1)
        assert found(FIX, since=since) == [
            ("pending and present", upload.key, "repaired")
        ]
        upload.refresh_from_db()
        assert upload.status == Status.STORED

    def test_side_by_side__since__a_purge_that_was_interrupted(self, bucket):
        """What is purged is old; the crash was a moment ago."""
        done = purged(age=timedelta(days=40))
        making.delete_object(bucket, done.key)
        interrupted = purged(age=timedelta(days=40))
        since = timezone.now() - timedelta(days=1)
        assert found(FIX, since=since) == [
            ("purged but present", interrupted.key, "repaired")
        ]
        assert found(FIX, since=since) == []

    def test_side_by_side__since_by_the_clock_of_elsewhere(self, bucket):
        """Keys have the day of UTC, whatever the zone of the time that is given."""
        now = timezone.now()
        hours_ahead = timezone.get_fixed_timezone(14 * 60)
        midnight = now.replace(hour=0, minute=0).astimezone(hours_ahead)
        upload = making.stored()
        rows = [row for _, row in scan_pairs(midnight) if row]
        assert [row.key for row in rows] == [upload.key]

    def test_side_by_side__since_asks_an_index(self):
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
        assert "upload_key_is_unique" in recent[:1000].explain()
        assert "upload_not_stored" in hanging[:1000].explain()
