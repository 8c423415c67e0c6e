from __future__ import annotations

import datetime as dt
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mirrorsite.admin import filters
from mirrorsite.admin.changelist import BigTableAdmin
from mirrorsite.admin.row_estimates import rough_count
from uploads.models import Status, Upload

pytestmark = pytest.mark.django_db
LIST = "/admin/uploads/upload/"
MINUTE = dt.timedelta(minutes=1)


def listed(client: Client, query: str = "") -> list[str]:
    """Return the keys on the page, in its order."""
    response = client.get(LIST + query)
    assert response.status_code == 200
    return re.findall(r'data-copy="([^"]+)"', response.content.decode())


def links(client: Client, query: str = "") -> dict[str, str]:
    page = client.get(LIST + query).content.decode()
    pages = page[page.index('aria-label="Pages"') :]
    pages = pages[: pages.index("</nav>")]
    found = re.findall(r'<a href="([^"]+)">(\w+)</a>', pages)
    return {words: address.replace("&amp;", "&") for address, words in found}


def choices(client: Client, address: str) -> dict[str, str]:
    """Return the choices of the filters, each with what its count says."""
    page = client.get(address).content.decode()
    side = page[page.index('id="changelist-filter"') :]
    found = re.findall(r">\s*([^<>()]+?)(?: \(([^()]+)\))?\s*</a>", side)
    return dict(found)


class TestPages:
    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BigTableAdmin, "list_per_page", 3)

    def test_there_and_back(self, admin_client, make_upload):
        # Two at each time, so that the id has to decide.
        keys = [
            make_upload(created_at=at).key
            for minute in range(4)
            for at in [timezone.now() - 10 * MINUTE + minute * MINUTE] * 2
        ][::-1]
        assert listed(admin_client) == keys[:3]
        first = links(admin_client)
        assert list(first) == ["Older", "Oldest"]

        assert listed(admin_client, first["Older"]) == keys[3:6]
        second = links(admin_client, first["Older"])
        assert list(second) == ["Newest", "Newer", "Older", "Oldest"]
        assert listed(admin_client, second["Older"]) == keys[6:]
        last = links(admin_client, second["Older"])
        assert list(last) == ["Newest", "Newer"]
        assert listed(admin_client, last["Newer"]) == keys[3:6]
        assert listed(admin_client, second["Newer"]) == keys[:3]
        assert listed(admin_client, first["Oldest"]) == keys[5:]
        assert listed(admin_client, last["Newest"]) == keys[:3]

    def test_rows_have_left_the_filter(self, admin_client, make_upload):
        keys = [make_upload(status=Status.PENDING).key for _ in range(4)][::-1]
        older = links(admin_client, "?status__exact=pending")["Older"]
        Upload.objects.filter(key=keys[3]).update(status=Status.STORED)
        assert listed(admin_client, older) == []
        left = links(admin_client, older)
        assert list(left) == ["Newest"]
        assert listed(admin_client, left["Newest"]) == keys[:3]

    def test_a_filter_is_kept_and_another_starts_at_the_top(
        self, admin_client, make_upload
    ):
        for _ in range(7):
            make_upload(status=Status.FAILED)
            make_upload()
        older = links(admin_client, "?status__exact=failed")["Older"]
        assert "status__exact=failed" in older
        assert len(listed(admin_client, older)) == 3
        page = admin_client.get(LIST + older).content.decode()
        found = re.findall(r'href="(\?[^"]*status__exact=missing[^"]*)"', page)
        assert found == ["?status__exact=missing"]

    def test_queries__do_not_grow_with_rows_and_count_up_to_a_limit(
        self, admin_client, make_upload
    ):
        for _ in range(2):
            admin_client.get(LIST)  # writes the session, and extends it
        counts = []
        for _ in range(2):
            for _ in range(4):
                make_upload()
            with CaptureQueriesContext(connection) as captured:
                admin_client.get(LIST)
            counts.append(len(captured))
            for query in captured:
                if "COUNT(" in query["sql"] and "uploads_upload" in query["sql"]:
                    assert "LIMIT 10001" in query["sql"]
                assert "DISTINCT" not in query["sql"]
        assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("0199aaaa-1111-7111-8111-111111111111", True),
        ("0199aaaa-1111", True),
        ("0199AAAA1", True),
        ("0199aaab", False),
        ("x199aaaa", False),
        ("a" * 65, False),
        ("uploads/special", True),
        ("Req_1%25", True),
        ("req_1", False),
        ("Req%25", False),
        ("abab", True),
        ("AB" * 32, True),
        ("special", False),
    ],
)
def test_search__the_beginning_of_id_key_request_id_or_sha256(
    admin_client, make_upload, query, is_found
):
    make_upload(
        id="0199aaaa-1111-7111-8111-111111111111",
        key="uploads/special",
        request_id="Req_1%",
        sha256="ab" * 32,
    )
    make_upload(id="0299aaaa-1111-7111-8111-111111111111", sha256="e" * 64)
    assert listed(admin_client, f"?q={query}") == ["uploads/special"] * is_found


def test_search__events_by_id_or_by_the_beginning_of_the_uploads_id(
    admin_client, make_upload
):
    upload = make_upload(id="0199aaaa-1111-7111-8111-111111111111")
    make_upload(id="0299aaaa-1111-7111-8111-111111111111")
    event = upload.events.get()
    for term, found in {
        "0199aaaa-1111-7111-8111-111111111111": True,
        "0199AAAA1": True,
        "0199aaab": False,
        "no id": False,
        str(event.pk): True,
        "9" * 18: False,
    }.items():
        address = f"/admin/uploads/uploadevent/?q={term}"
        response = admin_client.get(address)
        assert response.status_code == 200, term
        assert (str(upload.pk) in response.content.decode()) is found, term


class TestFilters:
    def test_status_time_and_requester(self, admin_client, make_upload):
        old = make_upload(age=dt.timedelta(days=3), requester_name="token:a")
        failed = make_upload(status=Status.FAILED, age=MINUTE, requester_name="user:x")
        new = make_upload(requester_name="token:b")
        day = f"{old.created_at:%Y-%m-%d}"
        next_day = f"{old.created_at + dt.timedelta(days=1):%Y-%m-%d}"
        for query, found in {
            "status__exact=failed": [failed],
            "within=24h": [new, failed],
            "requester=token:a": [old],
            f"on={day}": [old],
            f"since={day}T00:00&until={next_day}T00:00": [old],
            "requester=token:a&status__exact=failed": [],
        }.items():
            assert listed(admin_client, f"?{query}") == [u.key for u in found], query
        shown = choices(admin_client, LIST)
        assert {"token:a", "token:b", "user:x", "Any time", "Failed"} <= shown.keys()
        assert shown["Stored"] == ""  # no counts, unless they are asked for

    def test_dates__from_first_to_last_without_reading_between(
        self, admin_client, make_upload
    ):
        for day in (3, 5):
            make_upload(created_at=dt.datetime(2026, 11, day, 12, tzinfo=dt.UTC))

        page = admin_client.get(LIST).content.decode()
        steps = page[page.index('aria-label="By date"') :]
        steps = steps[: steps.index("</nav>")]

        assert "November 2026" in steps
        assert re.findall(r'"\?on=([^"]+)"', steps) == [
            "2026-11-03",
            "2026-11-04",
            "2026-11-05",
        ]

    def test_facets__each_choice_among_what_the_other_filters_leave(
        self, admin_client, make_upload
    ):
        make_upload(status=Status.FAILED, requester_name="token:a")
        make_upload(status=Status.FAILED, requester_name="token:b")
        make_upload(requester_name="token:b", age=dt.timedelta(days=3))

        counts = choices(
            admin_client, f"{LIST}?_facets=True&status__exact=failed&within=24h"
        )

        names = ("Stored", "Failed", "Missing", "token:a", "token:b")
        assert [counts[name] for name in names] == ["0", "2", "0", "1", "1"]
        events = choices(admin_client, "/admin/uploads/uploadevent/?_facets=True")
        assert (events["Requested"], events["Stored"]) == ("3", "0")

    def test_facets__count_no_further_than_their_limit(
        self, admin_client, make_upload, monkeypatch
    ):
        monkeypatch.setattr(filters, "FACET_EXACT_UP_TO", 2)
        for _ in range(5):
            make_upload()
        with CaptureQueriesContext(connection) as captured:
            shown = choices(admin_client, f"{LIST}?_facets=True")
        counted = [
            query["sql"]
            for query in captured
            if "COUNT(" in query["sql"] and "uploads_upload" in query["sql"]
        ]
        # Six statuses and a requester, and the list itself.
        assert len([sql for sql in counted if sql.count("LIMIT 3")]) == 7
        assert len(counted) == 8
        assert shown["Stored"].startswith("about")


def test_rough_count(make_upload):
    for _ in range(5):
        make_upload()
    for rows in (Upload.objects.all(), Upload.objects.filter(status=Status.STORED)):
        exact, rough = rough_count(rows), rough_count(rows, 2)
        assert (exact, str(exact)) == (5, "5")
        assert rough > 2
        assert str(rough).startswith("about ")
