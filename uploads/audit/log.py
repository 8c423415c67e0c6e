"""The writes of the audit trail: an event, together with the row that it explains.

A single statement needs no transaction around it, so a write is one round trip where
the ORM takes four. Besides this module only uploads.audit.restore writes events; seals
are made in uploads.audit.seals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import Error, connection, transaction
from django.utils import timezone
from psycopg import RawCursor
from psycopg.types.json import Jsonb

from mirrorsite.actors import Actor
from mirrorsite.database import reason
from uploads.audit.canonical import refuse_fractions
from uploads.audit.models import WITHOUT_UPLOAD, Action, UploadEvent
from uploads.exceptions import (
    AlreadyRecordedError,
    TrailUnavailableError,
    TransitionError,
)

#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNIQUE_VIOLATION = "23505"


class Event(NamedTuple):
    """The columns of a new event, except its upload."""

    action: str
    at: datetime
    actor: str
    request_id: str
    detail: Jsonb


# ruff: noqa: S608 the statements hold names of tables and columns, and no values
_INSERT = (
    f"INSERT INTO {UploadEvent._meta.db_table} ({', '.join(Event._fields)}, upload_id)"
)
_INSERT_EVENT = f"{_INSERT} VALUES ($1, $2, $3, $4, $5, $6)"


_NOT_WRITTEN = "the record could not be written to the database"


@contextmanager
def database_errors(failure: str = _NOT_WRITTEN) -> Iterator[None]:
    """Raise `TrailUnavailableError` for errors of the database, lock timeouts included."""
    try:
        yield
    except Error as error:
        raise TrailUnavailableError(f"{failure}: {reason(error)}") from error


@contextmanager
def write_transaction() -> Iterator[None]:
    """Open a transaction that writes; raises `TrailUnavailableError`."""
    with database_errors(), transaction.atomic():
        yield


def record_event(
    action: Action, actor: Actor, *, detail: dict[str, Any] | None = None
) -> None:
    """Write an event that is about no upload.

    Raises `TrailUnavailableError`, and `TransitionError` for any other action.
    """
    if action not in WITHOUT_UPLOAD:
        raise TransitionError(f"{action} is an event of an upload.")
    insert_event(new_event(action, actor, detail), None)


def new_event(
    action: Action,
    actor: Actor,
    detail: dict[str, Any] | None = None,
    at: datetime | None = None,
) -> Event:
    """Return an event of now, or of `at`; raises `NotCanonicalError`."""
    # A number with a fraction has no canonical form, and could never be sealed.
    refuse_fractions(detail)
    return Event(
        action, at or timezone.now(), actor.name, actor.request_id, Jsonb(detail or {})
    )


def insert_event(event: Event, upload_id: UUID | None) -> None:
    """Write an event alone; raises `TrailUnavailableError`."""
    execute(_INSERT_EVENT, [*event, upload_id])


def with_event(change: str) -> str:
    """Return the change of an upload and, if it changes one, the event after it.

    The first five parameters of the statement are those of the event.
    """
    return (
        f"WITH upload AS ({change} RETURNING id)"
        f" {_INSERT} SELECT $1, $2, $3, $4, $5, id FROM upload"
    )


def execute(statement: str, values: Sequence[Any]) -> int:
    """Return the number of rows written.

    Raises `AlreadyRecordedError` for a value that must be unique and is not, and
    `TrailUnavailableError` for other errors of the database.
    """
    # Within a transaction, a savepoint keeps an error from ending all of it.
    savepoint = transaction.atomic() if connection.in_atomic_block else nullcontext()
    try:
        with savepoint, connection.wrap_database_errors:
            # As Django's cursor does: a connection that the server dropped is replaced.
            # It may have dropped it since the request's first statement, while the
            # object was put.
            if not connection.in_atomic_block:
                connection.health_check_done = False  # type: ignore[attr-defined]
            connection.close_if_health_check_failed()
            connection.ensure_connection()
            # Django's cursor writes each value into the statement, for a quarter more
            # CPU.
            with RawCursor(connection.connection) as cursor:
                cursor.execute(statement, values, prepare=True)
                return cursor.rowcount
    except Error as error:
        if getattr(error.__cause__, "sqlstate", None) == _UNIQUE_VIOLATION:
            raise AlreadyRecordedError("the upload is recorded already") from error
        raise TrailUnavailableError(f"{_NOT_WRITTEN}: {reason(error)}") from error
