"""Converts rows of the audit trail to what is hashed and signed, and back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, fields
from functools import partial
from typing import TypeVar

from django.db import Error, connection
from django.db.models import Model, Q, QuerySet

from uploads.audit.canonical import (
    Seal,
    encode,
    event_line,
    format_time,
    parse_canonical_time,
)
from uploads.audit.models import AuditSeal, UploadEvent
from uploads.audit.seal_store import SealStore

logger = logging.getLogger(__name__)

_M = TypeVar("_M", bound=Model)
_V = TypeVar("_V")

#: Raised by reading a value that the service never writes. `django.db.Error` is among
#: them, because PostgreSQL has timestamps that Python lacks ("infinity"); call
#: `raise_if_unavailable` to rule out that the database is unavailable.
UNREADABLE = (
    ArithmeticError, AttributeError, RecursionError, TypeError, ValueError, Error,
)  # fmt: skip

#: Rows fetched at a time while a table is read.
CHUNK = 2_000


def event_lines(
    events: QuerySet[UploadEvent], limit: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield the id and line of each event, in order of id.

    Raises one of `UNREADABLE` for a row that cannot be read.
    """
    rows = events.order_by("id").values_list(
        "id", "upload_id", "action", "at", "actor", "request_id", "detail"
    )
    for values in rows[:limit].iterator(chunk_size=CHUNK):
        yield values[0], event_line(*values)


def readable_lines(events: QuerySet[UploadEvent]) -> Generator[tuple[int, bytes]]:
    """Like `event_lines`, with a placeholder for each unreadable row.

    The placeholder differs from the line of every event. Only the tables' owner can
    store such a row. Raises `django.db.Error` when the database is unavailable.
    """
    for event_id, line in _readable(events, event_lines):
        if isinstance(line, Exception):
            line = encode({"id": event_id, "unreadable": str(line)[:200]})
        yield event_id, line


def sealable_lines(
    events: QuerySet[UploadEvent], limit: int
) -> Iterator[tuple[int, bytes]]:
    """Like `event_lines`, for up to `limit` events, without unreadable rows.

    `uploads.audit.log` never writes an unreadable row. Such a row must not prevent the
    sealing of others: it stays unsealed, and verify_audit reports it.
    """
    count = 0
    # The limit of the query is not enough: after an unreadable row another query starts,
    # which again returns up to `limit`.
    for event_id, line in _readable(events, partial(event_lines, limit=limit)):
        if isinstance(line, Exception):
            logger.error("event=%s cannot be sealed: %s", event_id, line)
            continue
        yield event_id, line
        count += 1
        if count == limit:
            return


def readable_seals(rows: QuerySet[AuditSeal]) -> Iterator[tuple[int, AuditSeal | None]]:
    """Yield numbers and rows in order, with None for an unreadable row.

    Raises `django.db.Error` when the database is unavailable.
    """
    for number, row in _readable(rows, _seal_rows):
        yield number, None if isinstance(row, Exception) else row


def _seal_rows(rows: QuerySet[AuditSeal]) -> Iterator[tuple[int, AuditSeal]]:
    for row in rows.order_by("number").iterator(chunk_size=CHUNK):
        # Raises one of `UNREADABLE` if a value cannot be read, or has no canonical form.
        seal_of(row).file_bytes()
        yield row.number, row


def _readable(
    rows: QuerySet[_M], values_of: Callable[[QuerySet[_M]], Iterator[tuple[int, _V]]]
) -> Iterator[tuple[int, _V | Exception]]:
    """Yield primary keys and values in order; an unreadable row's value is the error.

    If the query itself fails, for example because a column is missing, every row is first
    yielded with an error; after the last one, the query's error is raised.
    """
    rest = rows
    while True:
        last_read: int | None = None
        try:
            for last_read, value in values_of(rest):
                yield last_read, value
            return
        except UNREADABLE as error:
            if last_read is not None:
                rest = _after(rows, last_read)
            # A second row with the key that was read last: possible only if the tables'
            # owner dropped the primary key.
            has_twin = last_read is not None and rows.filter(pk=last_read).count() > 1
            keys = rest.order_by("pk").values_list("pk", flat=True)[:CHUNK]
            next_keys = list(dict.fromkeys(keys))
            if not (has_twin or next_keys):
                raise
            # The traceback would keep the query's cursor open.
            unread = error.with_traceback(None)
        if last_read is not None and has_twin:
            yield last_read, unread
        # Read the next rows one by one, to continue after the unreadable one.
        for key in next_keys:
            try:
                yield from values_of(rows.filter(pk=key))
            except UNREADABLE as error:
                raise_if_unavailable(error)
                yield key, error.with_traceback(None)
        last_read = [last_read, *next_keys][-1]
        if last_read is None:  # see `_after`: no row follows it
            return
        rest = _after(rows, last_read)


def _after(rows: QuerySet[_M], key: int) -> QuerySet[_M]:
    """Return the rows after a primary key.

    A null key comes last; it is possible only if the tables' owner dropped the primary
    key.
    """
    return rows.filter(Q(pk__gt=key) | Q(pk__isnull=True))


def raise_if_unavailable(error: BaseException) -> None:
    """Raise `django.db.Error` if `error` means that the database is unavailable.

    After an error about an unreadable value the database still answers a query.
    """
    if isinstance(error, Error):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")


def seal_of(row: AuditSeal) -> Seal:
    """Return the seal that a row records."""
    columns = {field.name: getattr(row, field.name) for field in fields(Seal)}
    columns["sealed_at"] = format_time(row.sealed_at)
    columns["next_key"] = row.next_key or None
    return Seal(**columns)


def row_of(seal: Seal, store: SealStore) -> AuditSeal:
    """Return a row that records the seal; not saved yet."""
    columns = asdict(seal)
    columns["sealed_at"] = parse_canonical_time(seal.sealed_at)
    columns["next_key"] = seal.next_key or ""
    return AuditSeal(**columns, object_key=store.seal_object_key(seal.number))
