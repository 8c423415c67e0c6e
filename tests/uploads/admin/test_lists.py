from __future__ import annotations

import datetime as dt
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mirrorsite.admin import filters, row_estimates
from mirrorsite.admin.changelist import BigTableAdmin
from mirrorsite.admin.row_estimates import rough_count
from uploads.admin.search import requesters, uuid_range
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


def choices(page: str) -> dict[str, str]:
    """Return the choices of the filters, each with what its count says."""
    side = page[page.index('id="changelist-filter"') :]
    found = re.findall(r">\s*([^<>()]+?)(?: \(([^()]+)\))?\s*</a>", side)
    return dict(found)


class TestPages:
    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BigTableAdmin, "list_per_page", 3)

    def test_pages__there_and_back(self, admin_client, make_upload):
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

    def test_pages__a_filter_is_kept_and_starts_at_the_top(
        self, admin_client, make_upload
    ):
        for _ in range(7):
            make_upload(status=Status.FAILED)
            make_upload()
        older = links(admin_client, "?status__exact=failed")["Older"]
        assert "status__exact=failed" in older
        assert len(listed(admin_client, older)) == 3
        page = admin_client.get(LIST + older).content.decode()
        filters = re.findall(r'href="(\?[^"]*status__exact=missing[^"]*)"', page)
        assert filters == ["?status__exact=missing"]

    @pytest.mark.parametrize(
        "query", ["?older=x", "?newer=1~2", "?on=2026-13", "?within=2"]
    )
    def test_pages__nonsense_shows_the_list(self, admin_client, make_upload, query):
        response = admin_client.get(LIST + query)
        assert response.status_code == 302
        assert response.headers["Location"] == f"{LIST}?e=1"

    def test_pages__queries_do_not_grow_with_rows(self, admin_client, make_upload):
        admin_client.get(LIST)  # writes the session
        counts = []
        admin_client.get(LIST)  # the first of a session also prolongs it
        for _ in range(2):
            for _ in range(4):
                make_upload()
            with CaptureQueriesContext(connection) as captured:
                admin_client.get(LIST)
            counts.append(len(captured))
        assert counts[0] == counts[1]


class TestSearch:
    @pytest.mark.parametrize("length", [36, 20, 9])
    def test_search__beginning_of_an_id(self, admin_client, make_upload, length):
        upload = make_upload(id="0199aaaa-1111-7111-8111-111111111111", sha256="f" * 64)
        make_upload(id="0199aaab-1111-7111-8111-111111111111", sha256="e" * 64)
        assert listed(admin_client, f"?q={str(upload.pk)[:length]}") == [upload.key]

    @pytest.mark.parametrize("field", ["key", "request_id", "sha256"])
    def test_search__beginning_of(self, admin_client, make_upload, field):
        upload = make_upload(
            key="uploads/special", request_id="Req_1%", sha256="ab" * 32
        )
        make_upload()
        value = getattr(upload, field)
        assert listed(admin_client, f"?q={value[:10]}".replace("%", "%25")) == [
            upload.key
        ]
        assert listed(admin_client, f"?q=x{value[:10]}".replace("%", "%25")) == []
        assert listed(admin_client, "?q=Req%251") == []

    def test_search__middle_is_not_found(self, admin_client, make_upload):
        upload = make_upload()
        page = admin_client.get(f"{LIST}?q={upload.key[4:]}").content.decode()
        assert "Nothing matches." in page

    def test_help_says_what_it_takes(self, admin_client):
        page = admin_client.get(LIST).content.decode()
        assert "The beginning of an id, key, request id or SHA-256" in page

    @pytest.mark.parametrize(
        ("prefix", "is_one"),
        [
            ("0", True),
            ("0199", True),
            ("0199aaaa-1", True),
            ("0199-aaaa", False),
            ("x", False),
            ("", False),
            ("-", False),
            ("a" * 33, False),
        ],
    )
    def test_uuid_range(self, prefix, is_one):
        found = uuid_range(prefix)
        assert (found is not None) is is_one
        if found:
            low, high = found
            assert low.hex.startswith(prefix.replace("-", ""))
            assert low <= high


class TestFilters:
    def test_filters__status_time_and_requester(self, admin_client, make_upload):
        old = make_upload(age=dt.timedelta(days=3), requester_name="token:a")
        failed = make_upload(status=Status.FAILED, age=MINUTE)
        new = make_upload()
        assert listed(admin_client, "?status__exact=failed") == [failed.key]
        assert listed(admin_client, "?within=24h") == [new.key, failed.key]
        assert listed(admin_client, "?requester=token:a") == [old.key]
        day = f"{old.created_at:%Y-%m-%d}"
        assert listed(admin_client, f"?on={day}") == [old.key]
        next_day = f"{old.created_at + dt.timedelta(days=1):%Y-%m-%d}"
        assert listed(admin_client, f"?since={day}T00:00&until={next_day}T00:00") == [
            old.key
        ]
        assert listed(admin_client, "?requester=token:a&status__exact=failed") == []

    def test_requesters__each_once(self, make_upload):
        assert requesters() == []
        for name in ("token:b", "anonymous", "token:b", "user:x"):
            make_upload(requester_name=name)
        assert requesters() == ["anonymous", "token:b", "user:x"]

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

    def test_facets__only_when_asked_for(self, admin_client, make_upload):
        make_upload()
        plain = admin_client.get(LIST).content.decode()
        assert "Show counts" in plain
        assert choices(plain)["Stored"] == ""

    def test_facets__each_choice_among_what_the_other_filters_leave(
        self, admin_client, make_upload
    ):
        make_upload(status=Status.FAILED, requester_name="token:a")
        make_upload(status=Status.FAILED, requester_name="token:b")
        make_upload(requester_name="token:b", age=dt.timedelta(days=3))

        counts = choices(
            admin_client.get(
                f"{LIST}?_facets=True&status__exact=failed&within=24h"
            ).content.decode()
        )

        assert {name: counts[name] for name in ("Stored", "Failed", "Missing")} == {
            "Stored": "0",
            "Failed": "2",
            "Missing": "0",
        }
        assert (counts["token:a"], counts["token:b"]) == ("1", "1")

    def test_facets__of_events(self, admin_client, make_upload):
        make_upload()
        page = admin_client.get("/admin/uploads/uploadevent/?_facets=True")
        counts = choices(page.content.decode())
        assert (counts["Requested"], counts["Stored"]) == ("1", "0")

    def test_facets__count_no_further_than_their_limit(
        self, admin_client, make_upload, monkeypatch
    ):
        monkeypatch.setattr(filters, "FACET_EXACT_UP_TO", 2)
        for _ in range(5):
            make_upload()
        with CaptureQueriesContext(connection) as captured:
            page = admin_client.get(f"{LIST}?_facets=True").content.decode()
        counted = [
            query["sql"]
            for query in captured
            if "COUNT(" in query["sql"] and "uploads_upload" in query["sql"]
        ]
        # Six statuses and a requester, and the list itself.
        assert len([sql for sql in counted if sql.count("LIMIT 3")]) == 7
        assert len(counted) == 8
        assert choices(page)["Stored"].startswith("about")


class TestRoughCount:
    def test_exact_while_small(self, make_upload):
        make_upload()
        count = rough_count(Upload.objects.all())
        assert (count, str(count)) == (1, "1")

    def test_beyond_the_limit(self, make_upload, monkeypatch):
        monkeypatch.setattr(row_estimates, "EXACT_UP_TO", 2)
        for _ in range(5):
            make_upload()
        everything = rough_count(Upload.objects.all())
        filtered = rough_count(Upload.objects.filter(status=Status.STORED))
        assert str(everything).startswith("about")
        assert str(filtered).startswith("about")
        assert everything > 2

    def test_never_counts_all(self, admin_client, make_upload):
        make_upload()
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(LIST)
        for query in captured:
            if "COUNT(" in query["sql"] and "uploads_upload" in query["sql"]:
                assert "LIMIT 10001" in query["sql"]
            assert "DISTINCT" not in query["sql"]
