"""The trail's rows as the values that are hashed and signed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import Error, connection
from django.db.models import QuerySet

from uploads.audit.canonical import (
    Seal,
    encode,
    event_line,
    format_time,
    parse_time,
)
from uploads.audit.seal_store import Copies
from uploads.models import AuditSeal, UploadEvent

#: What reading a value that the service never writes can raise. Among them errors of
#: `django.db`: PostgreSQL has timestamps that Python has not ("infinity").
#: `require_database` tells those from an unavailable database.
UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError, Error)

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

    An owner of the tables can store such a row. Raises `django.db.Error` when the
    database is unavailable.
    """
    rest, last = events, None
    while True:
        try:
            for last, line in event_lines(rest):
                yield last, line
        except UNREADABLE:
            pass
        else:
            return
        # One by one, past what cannot be read.
        rest = events if last is None else events.filter(id__gt=last)
        ids = list(rest.order_by("id").values_list("id", flat=True)[:CHUNK])
        for last in ids:
            try:
                yield from event_lines(events.filter(id=last))
            except UNREADABLE as error:
                require_database(error)
                yield last, encode({"id": last, "unreadable": str(error)[:200]})
        rest = rest if last is None else events.filter(id__gt=last)


def readable_seals(
    rows: QuerySet[AuditSeal],
) -> Iterator[tuple[int, AuditSeal | None]]:
    """Yield numbers and rows in order, with None for a row that is unreadable.

    Raises `django.db.Error` when the database is away.
    """
    rest, last = rows, None
    while True:
        try:
            for row in _seal_rows(rest):
                last = row.number
                yield last, row
        except UNREADABLE:
            pass
        else:
            return
        rest = rows if last is None else rows.filter(number__gt=last)
        numbers = rest.order_by("number").values_list("number", flat=True)[:CHUNK]
        for last in list(numbers):
            try:
                yield from ((last, row) for row in _seal_rows(rows.filter(number=last)))
            except UNREADABLE as error:
                require_database(error)
                yield last, None
        rest = rest if last is None else rows.filter(number__gt=last)


def _seal_rows(rows: QuerySet[AuditSeal]) -> Iterator[AuditSeal]:
    for row in rows.order_by("number").iterator(chunk_size=CHUNK):
        seal_of(row)
        yield row


def require_database(error: BaseException) -> None:
    """Raise `django.db.Error` if `error` is of a database that is away.

    If it is of a value in it that cannot be read, the database answers all the same.
    """
    if isinstance(error, Error):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")


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
    for _, row in readable_seals(rows):
        if row is not None:  # it announces nothing to anybody, and is named elsewhere
            yield seal_of(row)
