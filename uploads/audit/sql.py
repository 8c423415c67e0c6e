"""The writes of the audit log: an upload's row and an event, in one statement.

A single statement needs no transaction around it, so a write is one round trip where
the ORM takes four. All functions raise `TrailUnavailableError` for errors of the
database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.db import Error, connection
from django.db.transaction import atomic
from psycopg import RawCursor
from psycopg.types.json import Jsonb

from mirrorsite.database import reason
from uploads.exceptions import AlreadyRecordedError, TrailUnavailableError
from uploads.models import Upload, UploadEvent

#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNIQUE_VIOLATION = "23505"


class Event(NamedTuple):
    """The columns of a new event, but for its upload."""

    action: str
    at: datetime
    actor: str
    request_id: str
    detail: Jsonb


_UPLOAD_COLUMNS = [field.column for field in Upload._meta.concrete_fields]
_upload_values = attrgetter(*(field.attname for field in Upload._meta.concrete_fields))
_UPLOADS, _EVENTS = Upload._meta.db_table, UploadEvent._meta.db_table
_EVENT_COLUMNS = ", ".join(Event._fields)


def insert_upload(upload: Upload, event: Event) -> None:
    """Write a new upload and its first event.

    Raises `AlreadyRecordedError` if its id, object key or idempotency key is taken.
    """
    _execute(_insert_upload(), [*event, *_upload_values(upload)])
    upload._state.adding = False


def update_upload(
    upload_id: UUID,
    conditions: Mapping[str, Any],
    changes: Mapping[str, Any],
    event: Event,
) -> bool:
    """Change an upload if its columns have the values of `conditions`; write the event.

    Returns False, and writes nothing, if they have not.
    """
    statement = _update_upload(tuple(changes), tuple(conditions))
    values = [*event, upload_id, *changes.values(), *conditions.values()]
    return _execute(statement, values) == 1


def insert_event(event: Event, upload_id: UUID | None) -> None:
    """Write an event that does not change an upload."""
    _execute(_insert_event(), [*event, upload_id])


# ruff: noqa: S608 the statements hold names of tables and columns, and no values


@cache
def _insert_upload() -> str:
    columns, values = ", ".join(_UPLOAD_COLUMNS), _marks(6, len(_UPLOAD_COLUMNS))
    return _with_event(f"INSERT INTO {_UPLOADS} ({columns}) VALUES ({values})")


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
    """Return the number of rows written; raises `TrailUnavailableError`."""
    # Within a transaction, a savepoint keeps an error from ending all of it.
    savepoint = atomic() if connection.in_atomic_block else nullcontext()
    try:
        with savepoint, connection.wrap_database_errors:
            # As Django's cursor does: a connection that the server dropped is replaced.
            connection.close_if_health_check_failed()
            connection.ensure_connection()
            # Django's cursor writes each value into the statement, for a quarter more
            # CPU.
            with RawCursor(connection.connection) as cursor:
                cursor.execute(statement, values)
                return cursor.rowcount
    except Error as error:
        if getattr(error.__cause__, "sqlstate", None) == _UNIQUE_VIOLATION:
            raise AlreadyRecordedError("the upload is recorded already") from error
        raise TrailUnavailableError(
            f"the database did not take the record: {reason(error)}"
        ) from error
