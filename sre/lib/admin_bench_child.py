"""One side of ./sre/admin-bench: fills its database, then times pages as asked."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import django
from django.core.management import call_command

if TYPE_CHECKING:
    from django.test import Client

LIST = "/admin/uploads/upload/"
EVENTS = "/admin/uploads/uploadevent/"


def pages() -> dict[str, str]:
    """Return the pages by name; what they look for is from the middle of the table."""
    from django.db.models import Max, Min

    from uploads.models import Upload

    ends = Upload.objects.aggregate(first=Min("created_at"), last=Max("created_at"))
    middle = ends["first"] + (ends["last"] - ends["first"]) / 2
    upload = Upload.objects.filter(created_at__lte=middle)[0]
    return {
        "list": LIST,
        "list, middle page": f"{LIST}?older={middle.isoformat().replace('+', '%2B')}~{upload.pk}",
        "list, oldest page": f"{LIST}?oldest=1",
        "filter: failed": f"{LIST}?status__exact=failed",
        "filter: stored": f"{LIST}?status__exact=stored",
        "filter: requester": f"{LIST}?requester=token:nightly-backup",
        "filter: requester and missing": f"{LIST}?requester=user:ada&status__exact=missing",
        "filter: last 24 hours": f"{LIST}?within=24h",
        "list, counts": f"{LIST}?_facets=True",
        "filter: last 24 hours, counts": f"{LIST}?within=24h&_facets=True",
        "search: id": f"{LIST}?q={upload.pk}",
        "search: beginning of every id": f"{LIST}?q={str(upload.pk)[:3]}",
        "search: beginning of a SHA-256": f"{LIST}?q={upload.sha256[:12]}",
        "search: beginning of a request id": f"{LIST}?q={upload.request_id[:12]}",
        "search: key": f"{LIST}?q={upload.key}",
        "search: day's keys": f"{LIST}?q={upload.key[:18]}",
        "search: nothing found": f"{LIST}?q=zzzzzzzz",
        "date: month": f"{LIST}?on={middle:%Y-%m}",
        "date: day": f"{LIST}?on={middle:%Y-%m-%d}",
        "date: hour": f"{LIST}?on={middle:%Y-%m-%dT%H}",
        "upload": f"{LIST}{upload.pk}/change/",
        "events": EVENTS,
        "events, counts": f"{EVENTS}?_facets=True",
        "events, filter: missing": f"{EVENTS}?action__exact=missing",
        "events, search: upload": f"{EVENTS}?q={upload.pk}",
        "events, date: day": f"{EVENTS}?on={middle:%Y-%m-%d}",
        "events, date: day, counts": f"{EVENTS}?on={middle:%Y-%m-%d}&_facets=True",
        "dashboard, 24 hours": "/admin/",
        "dashboard, 7 days": "/admin/?range=7d",
    }


def timed(client: Client, address: str) -> tuple[float, int]:
    """Return the milliseconds a page takes, and how many rows it lists.

    Raises RuntimeError unless it is a 200.
    """
    started = time.perf_counter()
    response = client.get(address)
    taken = (time.perf_counter() - started) * 1000
    if response.status_code != 200:
        raise RuntimeError(f"{address} answered {response.status_code}")
    return taken, response.content.count(b'class="action-checkbox"')


def worst_node(client: Client, address: str) -> str:
    """Return the slowest plan node of the page's queries, in words."""
    from django.db import connection

    statements: list[tuple[str, Any]] = []

    def keep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().startswith(("SELECT", "WITH")):
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        client.get(address)
    nodes: list[tuple[float, str]] = []
    with connection.cursor() as cursor:
        for sql, params in statements:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
            (plan,) = cursor.fetchone()
            parsed = json.loads(plan) if isinstance(plan, str) else plan
            nodes += _nodes(parsed[0]["Plan"])
    if not nodes:
        return ""
    taken, words = max(nodes)
    return f"{words}, {taken:.1f} ms"


def _nodes(node: dict[str, Any]) -> Iterator[tuple[float, str]]:
    """Yield each node with the milliseconds it took without those below it."""
    inner = node.get("Plans", [])
    own = _total(node) - sum(_total(below) for below in inner)
    words = node["Node Type"]
    if name := node.get("Index Name") or node.get("Relation Name"):
        words += f" on {name}"
    yield own, f"{words}, {node['Actual Rows'] * node['Actual Loops']:,.0f} rows"
    for below in inner:
        yield from _nodes(below)


def _total(node: dict[str, Any]) -> float:
    return float(node["Actual Total Time"] * node["Actual Loops"])


def main() -> None:
    django.setup()
    from django.contrib.auth import get_user_model
    from django.test import Client

    from sre.lib.fill import fill
    from uploads.models import Upload

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    if not Upload.objects.exists():
        fill(int(sys.argv[1]), days=float(sys.argv[2]), seed=1)
    users = get_user_model().objects
    user = users.filter(username="bench").first() or users.create_superuser("bench")
    client = Client()
    client.force_login(user)
    known = pages()
    for line in sys.stdin:
        page, explain = json.loads(line)
        answer: Any = list(known)
        if page:
            answer = (worst_node if explain else timed)(client, known[page])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
