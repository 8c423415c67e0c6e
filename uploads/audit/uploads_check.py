"""Uploads against their events: the row is a summary, and must be a true one."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from uploads.audit.canonical import format_time
from uploads.audit.report import FaultKind, Report
from uploads.audit.serialization import CHUNK, UNREADABLE, require_database
from uploads.models import STATUS_AFTER, Action, Status, Upload, UploadEvent

#: Columns that events tell of in `detail`; the last event that does decides.
_TOLD = (
    "bucket",
    "key",
    "size",
    "sha256",
    "number",
    "etag",
    "version_id",
)
#: Columns that the first event alone tells of: a later try may come from elsewhere.
_TOLD_FIRST = ("client_address", "user_agent")
_COLUMNS = (
    "id",
    "status",
    "created_at",
    "requester_name",
    "request_id",
    *_TOLD,
    *_TOLD_FIRST,
)
_TELLING = frozenset({Action.REQUESTED, Action.ADOPTED, Action.STORED})
_UPLOADS_AT_A_TIME = 1_000

_Row = dict[str, Any]
_Event = tuple[UUID, str, Any, str, str, dict[str, Any]]


def check_uploads(report: Report, *, since: int | None = None) -> Iterator[int]:
    """Name every upload that differs from its events; yield the count now and then.

    `since` limits the uploads to those with an event under that seal or a later one,
    or under none yet.
    """
    uploads: QuerySet[Upload] = Upload.objects.order_by("id")
    events: QuerySet[UploadEvent] = UploadEvent.objects.exclude(upload=None)
    events = events.order_by("upload_id", "id")
    if since is not None:
        recent = UploadEvent.objects.filter(Q(seal_id__gte=since) | Q(seal=None))
        uploads = uploads.filter(Exists(recent.filter(upload=OuterRef("pk"))))
        events = events.filter(Exists(recent.filter(upload=OuterRef("upload_id"))))
    count = 0
    while True:
        ids = list(uploads.values_list("pk", flat=True)[:_UPLOADS_AT_A_TIME])
        is_last = len(ids) < _UPLOADS_AT_A_TIME
        here, theirs = uploads, events
        if not is_last:
            here = uploads.filter(pk__lte=ids[-1])
            theirs = events.filter(upload_id__lte=ids[-1])
        # Events beyond the last upload are looked at too: theirs are gone.
        for upload_id in _suspects(ids, here, theirs):
            # Both tables may have moved on between the two queries.
            for kind, detail in _examine(upload_id):
                report.add(kind, f"upload {upload_id}", detail)
        count += len(ids)
        yield count
        if is_last:
            return
        uploads = uploads.filter(pk__gt=ids[-1])
        events = events.filter(upload_id__gt=ids[-1])


def _suspects(
    ids: list[UUID], uploads: QuerySet[Upload], events: QuerySet[UploadEvent]
) -> Iterator[UUID]:
    """Yield the ids whose rows and events seem to differ."""
    try:
        rows = {row["id"]: row for row in _rows(uploads)}
        suspects: list[UUID] = []
        for upload_id, group in groupby(_event_values(events), itemgetter(0)):
            row = rows.pop(upload_id, None)
            if row is None or any(_complaints(row, group)):
                suspects.append(upload_id)
    except UNREADABLE as error:
        require_database(error)
        yield from ids  # one by one: a value that no column of ours ever held
        known = set(ids)
        told = events.order_by("upload_id").values_list("upload_id", flat=True)
        yield from (of for of in told.distinct().iterator() if of not in known)
    else:
        yield from suspects
        yield from rows


def _examine(upload_id: UUID) -> list[tuple[FaultKind, str]]:
    """Return in what an upload differs from its events, seen at one moment."""
    try:
        while True:
            row = next(_rows(Upload.objects.filter(pk=upload_id)), None)
            events = UploadEvent.objects.filter(upload_id=upload_id).order_by("id")
            told = list(_event_values(events))
            after = next(_rows(Upload.objects.filter(pk=upload_id)), None)
            if row == after:
                break
        if row is None and not told:
            return []
        if row is None:
            return [(FaultKind.MISSING, "its events are there, its row is not")]
        if not told:
            return [(FaultKind.INVENTED, "it has no events")]
        return list(_complaints(row, iter(told)))
    except UNREADABLE as error:
        require_database(error)
        return [(FaultKind.FACTS_DIFFER, "its row, or an event, cannot be read")]


def _rows(uploads: QuerySet[Upload]) -> Iterator[_Row]:
    """Yield what is compared of each upload; raises one of `UNREADABLE`."""
    rows: Iterator[_Row] = uploads.values(*_COLUMNS).iterator(chunk_size=CHUNK)
    return rows


def _event_values(events: QuerySet[UploadEvent]) -> Iterator[_Event]:
    return events.values_list(
        "upload_id", "action", "at", "actor", "request_id", "detail"
    ).iterator(chunk_size=CHUNK)


def _complaints(row: _Row, events: Iterator[_Event]) -> Iterator[tuple[FaultKind, str]]:
    """Yield in what a row differs from its events, of which there is one at least."""
    facts: dict[str, Any] = {}
    status: Status | None = None
    for _, action, at, actor, request_id, detail in events:
        if not facts:
            facts["created_at"] = at
            facts |= {name: detail[name] for name in _TOLD_FIRST if name in detail}
            if action == Action.REQUESTED:
                facts |= {"requester_name": actor, "request_id": request_id}
        # An action that leaves no status behind is a note.
        status = STATUS_AFTER.get(Action(action), status)
        if action in _TELLING:
            facts |= {name: detail[name] for name in _TOLD if name in detail}
    if row["status"] != status:
        yield (
            FaultKind.STATUS_DIFFERS,
            f"is {row['status']}, its last event says {status}",
        )
    differing = [
        name for name, value in facts.items() if not _is_same(name, row[name], value)
    ]
    if differing:
        yield (
            FaultKind.FACTS_DIFFER,
            f"its events say otherwise of {', '.join(differing)}",
        )


def _is_same(name: str, column: Any, told: Any) -> bool:
    if column == told:
        return True
    if name == "created_at":
        return format_time(column) == format_time(told)
    if name == "client_address" and column and told:
        # PostgreSQL writes addresses in its own way.
        return ipaddress.ip_address(column) == ipaddress.ip_address(told)
    return False
