"""The admin's pages with 1,000 and with many uploads, each requested after a login."""

from __future__ import annotations

import time
import urllib.request
from contextlib import ExitStack
from http.cookiejar import CookieJar
from urllib.parse import urlencode

import psycopg

from sre.benchmarks.bench import Bench, fill, say
from sre.benchmarks.report import Budget, Report, Table
from sre.lib.stack import run

SMALL = 1_000
LIST = "/admin/uploads/upload/"
EVENTS = "/admin/uploads/uploadevent/"
#: What a row of a list begins with.
CHECKBOX = b'class="action-checkbox"'


def admin(bench: Bench) -> Report:
    """Time each page on both databases; all uploads are within the dashboard's week."""
    bench.workers = 1
    few, many = f"{SMALL:,} uploads, ms", f"{bench.count:,} uploads, ms"
    table = Table("page", (few, many, "times"))
    with ExitStack() as stack:
        sides = [
            stack.enter_context(_Side(bench, "few", SMALL)),
            stack.enter_context(_Side(bench, "many", bench.count)),
        ]
        for page in sides[0].pages:
            say(page)
            for side in sides:
                side.seconds(page)  # fills the caches
            found: dict[_Side, list[float]] = {side: [] for side in sides}
            for side in bench.interleaved(sides):
                found[side].append(side.seconds(page) * 1000)
            # A page with few rows on the small side is fast because of that. If the large
            # side shows more, compare it with the small side's list, which is full.
            is_fuller = sides[0].shown[page] < sides[1].shown[page]
            full_list = table.column("list", few) if is_fuller else [0.0] * bench.rounds
            for small, large, full in zip(*found.values(), full_list, strict=True):
                table.add(page, small, large, large / max(small, full))
    times_more = {
        page: sorted(table.column(page, "times"))[bench.rounds // 2]
        for page in table.samples
    }
    worst = max(times_more, key=lambda page: times_more[page])
    return Report(
        [table], [Budget(f"slowest: {worst}", times_more[worst], 2, is_maximum=True)]
    )


class _Side(ExitStack):
    """A service on one database, and a client that is logged in."""

    def __init__(self, bench: Bench, database: str, count: int) -> None:
        super().__init__()
        say(f"filling {count:,} uploads")
        environment = bench.environment(database)
        fill(environment, str(count), "--days=7")
        printed = run(environment, "-m", "sre.lib.prepare").split()
        service = self.enter_context(bench.stack.service(environment))
        self.url = service.url
        self.pages = _pages(environment["DATABASE_URL"])
        self.shown: dict[str, int] = {}
        cookies = CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(cookies)
        )
        login = f"{self.url}/admin/login/"
        self._opener.open(login).close()
        form = {
            # "admin user: NAME" and "admin password: PASSWORD"
            "username": printed[printed.index("user:") + 1],
            "password": printed[printed.index("password:") + 1],
            "csrfmiddlewaretoken": next(c.value for c in cookies if "csrf" in c.name),
        }
        self._opener.open(login, urlencode(form).encode()).close()

    def seconds(self, page: str) -> float:
        before = time.monotonic()
        with self._opener.open(self.url + self.pages[page]) as answer:
            content: bytes = answer.read()
        seconds = time.monotonic() - before
        if b"id_password" in content:
            raise RuntimeError("the login failed")
        self.shown[page] = content.count(CHECKBOX)
        return seconds


def _pages(database_url: str) -> dict[str, str]:
    """Return the pages by name; what they look for is from the middle of the table."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT id, key, sha256, created_at FROM uploads_upload"
            " ORDER BY created_at"
            " OFFSET (SELECT count(*) / 2 FROM uploads_upload) LIMIT 1"
        ).fetchone()
    assert row is not None  # noqa: S101 the table was filled
    pk, key, sha256, at = row
    return {
        "list": LIST,
        "list, middle page": f"{LIST}?p=older~{pk}",
        "list, counts": f"{LIST}?_facets=True",
        "filter: failed": f"{LIST}?status__exact=failed",
        "filter: requester and missing": f"{LIST}?requester=user:ada&status__exact=missing",
        "filter: last 24 hours, counts": f"{LIST}?within=24h&_facets=True",
        "search: beginning of every id": f"{LIST}?q={str(pk)[:3]}",
        "search: beginning of a SHA-256": f"{LIST}?q={sha256[:12]}",
        "search: day's keys": f"{LIST}?q={key[:18]}",
        "search: nothing found": f"{LIST}?q=zzzzzzzz",
        "date: day": f"{LIST}?on={at:%Y-%m-%d}",
        "upload": f"{LIST}{pk}/change/",
        "events": EVENTS,
        "events, counts": f"{EVENTS}?_facets=True",
        "events, filter: missing": f"{EVENTS}?action__exact=missing",
        "events, search: upload": f"{EVENTS}?q={pk}",
        "events, date: day, counts": f"{EVENTS}?on={at:%Y-%m-%d}&_facets=True",
        "dashboard, 24 hours": "/admin/",
        "dashboard, 7 days": "/admin/?range=7d",
    }
