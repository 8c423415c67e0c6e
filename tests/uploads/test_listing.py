"""GET /api/uploads: pages and filters."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from tests.uploads.making import ACTOR, NOON, pages, record
from uploads import services

pytestmark = pytest.mark.django_db

#: Queries, each with the field that its error names.
MALFORMED = [
    ("status=done", "status"),
    ("status=", "status"),
    ("status=stored&status=failed", "status"),
    ("created_after=yesterday", "created_after"),
    ("created_after=2026-01-31", "created_after"),
    ("created_after=2026-01-31T12:00:00", "created_after"),
    ("created_after=2026-02-30T12:00:00Z", "created_after"),
    ("created_after=2026-01-31T24:00:00Z", "created_after"),
    ("created_after=2026-01-31T12:00:00%2B24:00", "created_after"),
    ("created_before=9999-12-31T23:59:59-01:00", "created_before"),
    ("created_before=0001-01-01T00:00:00%2B23:59", "created_before"),
    ("key_prefix=", "key_prefix"),
    ("key_prefix=%00", "key_prefix"),
    ("key_prefix=" + "k" * 1025, "key_prefix"),
    ("request_id=%0a", "request_id"),
    ("key_prefix=%FF", "key_prefix"),
    ("key_prefix=%ED%A0%80", "key_prefix"),
    ("key_prefix=100%", "key_prefix"),
    ("limit=1&request_id=%u0041", "request_id"),
    ("%FF=1", "\N{REPLACEMENT CHARACTER}"),
    ("limit=0", "limit"),
    ("limit=201", "limit"),
    ("limit=1e1", "limit"),
    ("limit=٣", "limit"),
    ("cursor=", "cursor"),
    ("cursor=x", "cursor"),
    ("cursor=AAAA", "cursor"),
    ("page=2", "page"),
    ("%00=2", "\x00"),
]


class TestList:
    def test_one__whole_answer(self, reader, bucket):
        upload = services.create_upload(actor=ACTOR).upload

        answer = reader.get("/api/uploads")

        upload.refresh_from_db()
        assert upload.stored_at is not None
        assert upload.duration is not None
        assert answer.json() == {
            "results": [
                {
                    "id": str(upload.pk),
                    "key": upload.key,
                    "bucket": bucket.bucket_name,
                    "number": upload.number,
                    "size": upload.size,
                    "sha256": upload.sha256,
                    "etag": upload.etag,
                    "version_id": None,
                    "status": "stored",
                    "created_at": upload.created_at.isoformat().replace("+00:00", "Z"),
                    "url": f"http://testserver/api/uploads/{upload.pk}",
                    "requester": "anonymous",
                    "client_address": "192.0.2.7",
                    "user_agent": "tests",
                    "request_id": "request-1",
                    "error": None,
                    "stored_at": upload.stored_at.isoformat().replace("+00:00", "Z"),
                    "duration_seconds": upload.duration.total_seconds(),
                }
            ],
            "next": None,
        }
        assert answer["Cache-Control"] == "no-store"

    def test_pages__ties_and_inserts(self, reader):
        """No upload twice and none left out, while new ones come in between."""
        moments = [NOON, NOON, NOON, NOON - timedelta(microseconds=1), NOON]
        expected = [str(record(created_at=moment).pk) for moment in moments]

        seen: list[str] = []
        for page in pages(reader, "/api/uploads?limit=2"):
            seen += [entry["id"] for entry in page]
            record(created_at=NOON + timedelta(seconds=len(seen)))

        newest_first = sorted(
            expected, key=lambda i: (i != expected[3], UUID(i)), reverse=True
        )
        assert seen == newest_first

    def test_filters(self, reader):
        for name, hours, key in (
            ("a", -1, "uploads/a"),
            ("b", 0, "uploads/b"),
            ("c", 1, "100%/c"),
        ):
            at = NOON + timedelta(hours=hours)
            record(key=key, request_id=f"r-{name}", created_at=at)
        for query, found in {
            "status=pending": "abc",
            "status=stored": "",
            "created_after=2026-01-31T12:00:00Z": "bc",
            "created_after=2026-01-31T13:00:00%2B01:00": "bc",
            "created_before=2026-01-31t12:00:00z": "a",
            "created_after=2026-01-31T12:00:00.000001Z": "c",
            "created_after=2026-01-31T12:00:00Z&created_before=2026-01-31T12:00:01Z": "b",
            "key_prefix=uploads/": "ab",
            "key_prefix=Uploads/": "",
            "key_prefix=uploads/_": "",
            "key_prefix=100%25": "c",
            "key_prefix=uploads/&request_id=r-b": "b",
            "request_id=r-": "",
        }.items():
            answer = reader.get(f"/api/uploads?{query}")
            assert answer.status_code == 200, query
            keys = {entry["key"][-1] for entry in answer.json()["results"]}
            assert keys == set(found), query

    def test_malformed__400_with_the_field(self, reader):
        for query, field in MALFORMED:
            answer = reader.get(f"/api/uploads?{query}")
            assert answer.status_code == 400, query
            named = [error["field"] for error in answer.json()["errors"]]
            assert named == [field], query

    def test_query_count_is_constant(self, reader, staff, django_assert_num_queries):
        for count in (1, 30):
            for _ in range(count):
                record()
            with django_assert_num_queries(2):  # the token; the page
                assert reader.get("/api/uploads").status_code == 200
            # The session; its user; two for what they may; the page.
            with django_assert_num_queries(5):
                assert staff.get("/api/uploads").status_code == 200
