"""Checks that the rows of uploads match their events, and restores them from events.

`uploads.apps` registers this module as a `Projection` of the audit trail.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from mirrorsite.database import reason
from uploads.audit.report import FaultKind, Report
from uploads.audit.serialization import CHUNK, UNREADABLE, raise_if_unavailable
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.paging import pages
from uploads.transitions import STATUS_AFTER

#: Columns whose values are in the `detail` of events; the last such event decides.
_FACTS = ("bucket", "key", "size", "sha256", "number", "etag", "version_id")
#: Columns whose values are in the first event; later attempts may be by other clients.
_FIRST_FACTS = ("client_address", "user_agent")
_COLUMNS = (
    "id",
    "status",
    "created_at",
    "requester_name",
    "request_id",
    *_FACTS,
    *_FIRST_FACTS,
    # In no event. An export ends at a value that cannot be read: it is reported, too.
    "attempt_started_at",
    "stored_at",
    "duration",
)
_FACT_ACTIONS = frozenset({Action.REQUESTED, Action.ADOPTED, Action.STORED})
_UPLOADS_AT_A_TIME = 1_000
_MAX_READS = 10
_NO_ROW = "it has events and no row"
_MAX_ERROR = Upload._meta.get_field("error").max_length

_Row = dict[str, Any]
#: Upload, action, time, actor, request id and detail.
_EventValues = tuple[UUID, str, Any, str, str, dict[str, Any]]
_Difference = tuple[FaultKind, str]


def check(report: Report, *, since: int | None) -> Iterator[None]:
    """Report every upload that differs from its events; yield after each page.

    `since` is the number of a seal, see `Projection`.
    """
    uploads: QuerySet[Upload] = Upload.objects.all()
    events: QuerySet[UploadEvent] = UploadEvent.objects.exclude(upload=None)
    if since is not None:
        recent = UploadEvent.objects.filter(Q(seal_id__gte=since) | Q(seal=None))
        uploads = uploads.filter(Exists(recent.filter(upload=OuterRef("pk"))))
        events = events.filter(Exists(recent.filter(upload=OuterRef("upload_id"))))
    # An upload can lack an id only if the tables' owner dropped the primary key. `pages`
    # would skip it.
    if Upload.objects.filter(pk__isnull=True).exists():
        report.add(FaultKind.INVENTED, "upload None", "it has no id")
    ids: Any = uploads.filter(pk__isnull=False).values_list("pk", named=True)
    for page in pages(ids, _UPLOADS_AT_A_TIME):
        first, last = page[0].pk, page[-1].pk
        candidates = _candidates(
            uploads.filter(pk__gte=first, pk__lte=last),
            events.filter(upload_id__gte=first, upload_id__lte=last),
        )
        for upload_id in candidates:
            # Examine it again: the tables may have changed between the two queries.
            for kind, detail in _examine(upload_id):
                report.add(kind, f"upload {upload_id}", detail)
        report.uploads += len(page)
        yield
    # Events without a row: the foreign key prevents them, unless the tables' owner
    # dropped it.
    rows = Upload.objects.filter(pk=OuterRef("upload_id"))
    without_row = events.filter(~Exists(rows)).order_by("upload_id").distinct()
    for upload_id in without_row.values_list("upload_id", flat=True).iterator():
        report.add(FaultKind.MISSING, f"upload {upload_id}", _NO_ROW)


def contradiction(lost: list[dict[str, Any]], seal: int) -> str | None:
    """Return why the lost events of a seal cannot be restored, or None if they can.

    They cannot if an upload's row contradicts the events that the database still has,
    or if another upload has the object key of a lost event.
    """
    ids = {event["upload"] for event in lost} - {None}
    for upload_id, row, events in _rows_with_events(ids):
        differences = _differences(row, events)
        if differences:
            _, detail = differences[0]
            return f"upload {upload_id} in the database contradicts the audit trail: {detail}"
    details = [event["detail"] for event in lost if isinstance(event["detail"], dict)]
    stated = [detail.get("key") for detail in details]
    object_keys = {key for key in stated if isinstance(key, str)}
    other = Upload.objects.filter(key__in=object_keys).exclude(pk__in=ids).first()
    if other is None:
        return None
    return f"upload {other.pk} has the object key that seal {seal} records for another upload"


def restore(ids: Collection[UUID]) -> None:
    """Insert or update the rows of these uploads to match their events."""
    new = []
    for upload_id, row, events in _rows_with_events(ids):
        columns = _columns(events)
        if row is None:
            new.append(Upload(id=upload_id, **columns))
        else:
            Upload.objects.filter(pk=upload_id).update(**columns)
    Upload.objects.bulk_create(new)


# --- Checking ---------------------------------------------------------------------


def _candidates(uploads: QuerySet[Upload], events: QuerySet[UploadEvent]) -> list[UUID]:
    """Return the ids of uploads whose rows may differ from their events.

    `check` itself reports events without a row.
    """
    try:
        differing = [
            upload_id
            for upload_id, row, values in _joined(uploads, events)
            if row is not None and _differences(row, values)
        ]
    except UNREADABLE as error:
        raise_if_unavailable(error)
        differing = list(uploads.values_list("pk", flat=True))
    # Each once: there are two rows with one id if the primary key was dropped.
    return list(dict.fromkeys(differing))


def _examine(upload_id: UUID) -> list[_Difference]:
    """Return how an upload differs from its events.

    The row is read before and after the events, until both reads are equal.
    """
    try:
        # Not endlessly: a column whose type was changed can hold NaN, which never equals
        # itself.
        for _ in range(_MAX_READS):
            rows = list(_rows(Upload.objects.filter(pk=upload_id)))
            events = UploadEvent.objects.filter(upload_id=upload_id).order_by("id")
            values = list(_event_values(events))
            if rows == list(_rows(Upload.objects.filter(pk=upload_id))):
                break
        if len(rows) > 1:
            return [(FaultKind.INVENTED, "it has more than one row")]
        return _differences(rows[0] if rows else None, values)
    except UNREADABLE as error:
        raise_if_unavailable(error)
        detail = f"its row, or an event, cannot be read ({reason(error)})"
        return [(FaultKind.FACTS_DIFFER, detail)]


def _rows_with_events(
    ids: Collection[Any],
) -> Iterator[tuple[UUID, _Row | None, list[_EventValues]]]:
    return _joined(
        Upload.objects.filter(pk__in=ids),
        UploadEvent.objects.filter(upload_id__in=ids),
    )


def _joined(
    uploads: QuerySet[Upload], events: QuerySet[UploadEvent]
) -> Iterator[tuple[UUID, _Row | None, list[_EventValues]]]:
    """Yield each upload's row and events; raises one of `UNREADABLE`."""
    rows: dict[UUID, _Row] = {}
    for row in _rows(uploads):
        if row["id"] in rows:
            # A second row with this id, possible only if the primary key was dropped. It
            # is yielded without events, so that it counts as different.
            yield row["id"], row, []
        else:
            rows[row["id"]] = row
    in_order = events.order_by("upload_id", "id")
    for upload_id, group in groupby(_event_values(in_order), itemgetter(0)):
        yield upload_id, rows.pop(upload_id, None), list(group)
    for upload_id, row in rows.items():
        yield upload_id, row, []


def _rows(uploads: QuerySet[Upload]) -> Iterator[_Row]:
    rows: Iterator[_Row] = uploads.values(*_COLUMNS).iterator(chunk_size=CHUNK)
    return rows


def _event_values(events: QuerySet[UploadEvent]) -> Iterator[_EventValues]:
    return events.values_list(
        "upload_id", "action", "at", "actor", "request_id", "detail"
    ).iterator(chunk_size=CHUNK)


def _differences(row: _Row | None, events: list[_EventValues]) -> list[_Difference]:
    """Return how an upload's row differs from its events."""
    if row is None:
        return [(FaultKind.MISSING, _NO_ROW)]
    if not events:
        return [(FaultKind.INVENTED, "it has no events")]
    status, facts = _state_of(events)
    found = []
    if row["status"] != status:
        detail = f"its status is {row['status']}, but its events say {status}"
        found.append((FaultKind.STATUS_DIFFERS, detail))
    names = [
        name for name, value in facts.items() if not _is_same(name, row[name], value)
    ]
    if names:
        detail = f"it differs from its events in {', '.join(names)}"
        found.append((FaultKind.FACTS_DIFFER, detail))
    return found


def _state_of(
    events: Iterable[_EventValues],
) -> tuple[Status | None, dict[str, Any]]:
    """Return the status and the columns' values that follow from the events."""
    facts: dict[str, Any] = {}
    status: Status | None = None
    for _, action, at, actor, request_id, detail in events:
        if not facts:  # the first event
            facts = {"created_at": at, "etag": "", "version_id": ""}
            facts |= {name: detail[name] for name in _FIRST_FACTS if name in detail}
            if action == Action.REQUESTED:
                facts |= {"requester_name": actor, "request_id": request_id}
            elif action == Action.ADOPTED:
                # The actor recorded the object, and did not upload it.
                request_id = detail.get("request_id", "")
                facts |= {"requester_name": "unknown", "request_id": request_id}
        # An action that is not in STATUS_AFTER does not change the status.
        status = STATUS_AFTER.get(Action(action), status)
        if action in _FACT_ACTIONS:
            facts |= {name: detail[name] for name in _FACTS if name in detail}
    return status, facts


def _is_same(name: str, column: Any, stated: Any) -> bool:
    if column == stated:
        return True
    if name == "client_address" and column and stated:
        # PostgreSQL may write the same address in another form.
        return ipaddress.ip_address(column) == ipaddress.ip_address(stated)
    return False


def _columns(events: list[_EventValues]) -> dict[str, Any]:
    """Return the values of an upload's columns that follow from its events."""
    status, facts = _state_of(events)
    columns = {
        "attempt_started_at": None,  # so another attempt may begin at once
        **facts,
        "status": status,
    }
    for _, action, at, _, _, detail in events:
        if action in (Action.STORED, Action.ADOPTED):
            columns["stored_at"] = _parsed_time(detail.get("last_modified")) or at
        if action == Action.VERIFIED and "stored_at" not in columns:
            # No event has recorded it as stored: `stored_at` is the time of its first
            # verification, and `error` is empty, as `transitions.record` writes them.
            columns |= {"stored_at": at, "error": ""}
        if action in (Action.REQUESTED, Action.STORED, Action.FAILED):
            columns["error"] = str(detail.get("error", ""))[:_MAX_ERROR]
    return columns


def _parsed_time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
