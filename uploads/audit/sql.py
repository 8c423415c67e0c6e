"""The writes of the record: an upload's row and an event, in one statement.

A statement outside of a transaction is one by itself, so this is a round trip where
the ORM takes four, and building its SQL for each row costs more than sending it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.transaction import atomic
from psycopg import RawCursor
from psycopg.types.json import Jsonb

from uploads.models import Upload, UploadEvent


class Event(NamedTuple):
    """The columns of a new event, but for its upload."""

    action: str
    at: datetime
    actor: str
    request_id: str
    detail: Jsonb


_UPLOAD = tuple(Upload._meta.concrete_fields)
_UPLOADS, _EVENTS = Upload._meta.db_table, UploadEvent._meta.db_table
_EVENT_COLUMNS = ", ".join(Event._fields)


def insert_upload(upload: Upload, event: Event) -> None:
    """Write a new upload and its first event; raises `django.db.Error`."""
    values = [getattr(upload, field.attname) for field in _UPLOAD]
    _execute(_insert_upload(), [*event, *values])
    upload._state.adding = False


def update_upload(
    upload_id: UUID,
    conditions: Mapping[str, Any],
    changes: Mapping[str, Any],
    event: Event,
) -> bool:
    """Change an upload if its columns have the values of `conditions`; write the event.

    Returns False, and writes nothing, if they have not. Raises `django.db.Error`.
    """
    statement = _update_upload(tuple(changes), tuple(conditions))
    values = [*event, upload_id, *changes.values(), *conditions.values()]
    return _execute(statement, values) == 1


def insert_event(event: Event, upload_id: UUID | None) -> None:
    """Write an event alone; raises `django.db.Error`."""
    _execute(_insert_event(), [*event, upload_id])


# ruff: noqa: S608 the statements hold names of tables and columns, and no values


@cache
def _insert_upload() -> str:
    columns = ", ".join(field.column for field in _UPLOAD)
    return _with_event(
        f"INSERT INTO {_UPLOADS} ({columns}) VALUES ({_marks(6, len(_UPLOAD))})"
    )


@cache
def _update_upload(changes: Sequence[str], conditions: Sequence[str]) -> str:
    assignments = ", ".join(f"{c} = ${n}" for n, c in enumerate(changes, 7))
    # Like "=", and true of two nulls; no index serves it.
    met = "".join(
        f" AND {c} IS NOT DISTINCT FROM ${n}"
        for n, c in enumerate(conditions, 7 + len(changes))
    )
    return _with_event(f"UPDATE {_UPLOADS} SET {assignments} WHERE id = $6{met}")


def _with_event(change: str) -> str:
    """Return the change of an upload and, if it changes one, the event after it."""
    return (
        f"WITH upload AS ({change} RETURNING id)"
        f" INSERT INTO {_EVENTS} ({_EVENT_COLUMNS}, upload_id)"
        f" SELECT {_marks(1, 5)}, id FROM upload"
    )


@cache
def _insert_event() -> str:
    return (
        f"INSERT INTO {_EVENTS} ({_EVENT_COLUMNS}, upload_id) VALUES ({_marks(1, 6)})"
    )


def _marks(first: int, count: int) -> str:
    return ", ".join(f"${n}" for n in range(first, first + count))


def _execute(statement: str, values: Sequence[Any]) -> int:
    # Within a transaction, a savepoint keeps an error from ending all of it.
    savepoint = atomic() if connection.in_atomic_block else nullcontext()
    with savepoint, connection.wrap_database_errors:
        # As Django's cursor does: a connection that the server dropped is replaced.
        connection.close_if_health_check_failed()
        connection.ensure_connection()
        # Django's cursor writes each value into the statement, for a quarter more CPU.
        with RawCursor(connection.connection) as cursor:
            cursor.execute(statement, values)
            return cursor.rowcount
