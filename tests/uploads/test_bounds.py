"""However much there is: what the operators' commands hold, and do at a time."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.uploads import making
from tests.uploads.making import run
from uploads import exports, object_verification, retention
from uploads.management import export
from uploads.models import Upload
from uploads.reconciliation import Options, reconcile, scan, scan_pairs
from uploads.storage import ListedObject, UploadStorage

pytestmark = pytest.mark.django_db


def listed(count: int, read: list[int]) -> Iterator[ListedObject]:
    """Yield objects without a record, noting how many were asked for."""
    for number in range(count):
        read.append(number)
        yield ListedObject(
            key=f"uploads/{number:05}.txt",
            size=1,
            etag="e",
            last_modified=timezone.now(),
        )


class TestReconcile:
    def test_listing__read_as_it_is_compared(self, bucket, monkeypatch):
        read: list[int] = []
        monkeypatch.setattr(
            UploadStorage, "listing", lambda self, prefix: listed(50, read)
        )
        for number, _ in enumerate(scan_pairs(), start=1):
            assert len(read) <= number + 1
        assert len(read) == 50

    def test_table__a_page_at_a_time(self, bucket, monkeypatch):
        for _ in range(5):
            making.pending()
        monkeypatch.setattr(scan, "PAGE", 2)
        with CaptureQueriesContext(connection) as queries:
            rows = scan.recorded_rows(Upload.objects.all())
            next(rows)
            assert len(queries) == 1
            assert len(list(rows)) == 4
        assert len(queries) == 3
        assert all(query["sql"].endswith("LIMIT 2") for query in queries)

    def test_left_in_parts__one_at_a_time(self, bucket, monkeypatch):
        for number in range(3):
            bucket.client.create_multipart_upload(
                Bucket=bucket.bucket_name, Key=f"uploads/{number}.txt"
            )
        multipart_uploads, read = UploadStorage.multipart_uploads, []

        def counted(self: UploadStorage, prefix: str) -> Iterator[Any]:
            for one in multipart_uploads(self, prefix):
                read.append(one)
                yield one

        monkeypatch.setattr(UploadStorage, "multipart_uploads", counted)
        options = Options(actor=making.ACTOR, min_age=timedelta(0))
        findings = reconcile(options, scan_pairs())
        next(findings)
        assert len(read) == 1
        assert len(list(findings)) == 2


class TestJobs:
    def test_as_many_as_told__and_no_more(self, bucket, spy):
        for _ in range(6):
            making.stored()
        three = threading.Barrier(3, timeout=30)
        threads: set[int] = set()

        def together(*_: Any) -> None:
            threads.add(threading.get_ident())
            three.wait()

        spy(UploadStorage, "head", before=together)
        assert run("verify_uploads", "--jobs", "3")[0] == 0
        assert len(threads) == 3

    def test_verify__a_page_at_a_time(self, bucket, monkeypatch, spy):
        for _ in range(5):
            making.stored()
        monkeypatch.setattr(object_verification, "PAGE", 2)
        asked = spy(UploadStorage, "head")
        results = object_verification.verify_each(
            object_verification.uploads_to_verify(),
            actor=making.ACTOR,
            method="head",
            jobs=2,
        )
        next(results)
        assert len(asked) <= 2
        assert len(list(results)) == 4


class TestPurge:
    def test_pages(self, bucket, monkeypatch):
        uploads = [making.stored(age=timedelta(days=40)) for _ in range(5)]
        making.seal(*uploads)
        monkeypatch.setattr(retention, "PAGE", 2)
        with CaptureQueriesContext(connection) as queries:
            status, text = run("purge_uploads", "--older-than", "30d")
        assert (status, len(text.splitlines())) == (0, 7)
        assert all(upload.key in text for upload in uploads)
        pages = [query["sql"] for query in queries if "LIMIT 2" in query["sql"]]
        assert len(pages) == 3


class TestExports:
    def test_each_line_is_written_before_the_next_row_is_read(self, db, monkeypatch):
        rows = [Upload(size=1, key=f"uploads/{number}.txt") for number in range(5)]
        read: list[Upload] = []

        def by_id(queryset: Any) -> Iterator[Upload]:
            for row in rows:
                read.append(row)
                yield row

        class Reader(io.StringIO):
            def write(self, text: str) -> int:
                seen.append(len(read))
                return super().write(text)

        seen: list[int] = []
        monkeypatch.setattr(export, "by_id", by_id)
        call_command("export_uploads", stdout=Reader())
        assert seen == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize("form", exports.FORMATS)
    def test_bytes__whatever_the_terminal_is_set_to(self, bucket, form):
        upload = making.pending()
        Upload.objects.filter(pk=upload.pk).update(user_agent="ü \u2028")
        _, text = run("export_uploads", "--format", form)
        raw = io.BytesIO()
        output = io.TextIOWrapper(raw, encoding="ascii", newline="\r\n")
        call_command("export_uploads", "--format", form, stdout=output)
        output.flush()
        assert raw.getvalue() == text.encode()
