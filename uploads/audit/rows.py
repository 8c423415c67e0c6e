"""The trail's rows as the values that are hashed and signed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from uploads.audit.canonical import (
    Seal,
    encode,
    event_line,
    format_time,
    parse_time,
)
from uploads.audit.copies import Copies
from uploads.models import AuditSeal, UploadEvent

#: What reading a value that no column of ours ever held can raise.
UNREADABLE = (ValueError, TypeError, AttributeError)

#: Rows fetched at a time while a table is walked.
CHUNK = 2_000

#: The columns of a line, in the order of `event_line`'s arguments.
EventValues = tuple[int, UUID | None, str, Any, str, str, dict[str, Any]]


def event_values(
    events: QuerySet[UploadEvent], limit: int | None = None
) -> Iterator[EventValues]:
    """Yield the sealed columns of events in ascending order of id."""
    rows = events.order_by("id").values_list(
        "id", "upload_id", "action", "at", "actor", "request_id", "detail"
    )
    return rows[:limit].iterator(chunk_size=CHUNK)


def event_lines(
    events: QuerySet[UploadEvent], limit: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield ids and lines; raises one of `UNREADABLE` at a row that has no line."""
    for values in event_values(events, limit):
        yield values[0], event_line(*values)


def readable_lines(events: QuerySet[UploadEvent]) -> Iterator[tuple[int, bytes]]:
    """As `event_lines`, with a line that equals no other for a row that has none.

    Whoever owns a SQLite file can put any text into any column.
    """
    last = 0
    try:
        for event_id, line in event_lines(events):
            yield event_id, line
            last = event_id
    except UNREADABLE:
        for event_id in list(
            events.filter(id__gt=last).order_by("id").values_list("id", flat=True)
        ):
            try:
                yield from event_lines(events.filter(id=event_id))
            except UNREADABLE as error:
                yield event_id, encode({"id": event_id, "unreadable": str(error)})


def readable_seals(
    rows: QuerySet[AuditSeal],
) -> Iterator[tuple[int, AuditSeal | None]]:
    """Yield numbers and rows in order, with None for a row that is unreadable."""
    last = 0
    try:
        for row in rows.order_by("number").iterator(chunk_size=CHUNK):
            seal_of(row)
            yield row.number, row
            last = row.number
    except UNREADABLE:
        rest = rows.filter(number__gt=last).order_by("number")
        for number in list(rest.values_list("number", flat=True)):
            try:
                row = rows.get(number=number)
                seal_of(row)
                yield number, row
            except UNREADABLE:
                yield number, None


def seal_of(row: AuditSeal) -> Seal:
    """Return the seal that a row stands for."""
    return Seal(
        number=row.number,
        sealed_at=format_time(row.sealed_at),
        event_count=row.event_count,
        first_event=row.first_event,
        last_event=row.last_event,
        root=row.root,
        previous=row.previous,
        key_id=row.key_id,
        next_key=row.next_key or None,
        signature=row.signature,
    )


def row_of(seal: Seal, copies: Copies) -> AuditSeal:
    """Return the row of a seal; not saved yet."""
    return AuditSeal(
        number=seal.number,
        sealed_at=parse_time(seal.sealed_at),
        event_count=seal.event_count,
        first_event=seal.first_event,
        last_event=seal.last_event,
        root=seal.root,
        previous=seal.previous,
        key_id=seal.key_id,
        next_key=seal.next_key or "",
        signature=seal.signature,
        object_key=copies.seal_key(seal.number),
    )


def announcing_seals(before: int) -> Iterator[Seal]:
    """Yield the seals below a number that announce a key, in order."""
    rows = AuditSeal.objects.filter(number__lt=before).exclude(next_key="")
    for row in rows.order_by("number").iterator(chunk_size=CHUNK):
        yield seal_of(row)
