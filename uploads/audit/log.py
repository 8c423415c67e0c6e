"""Writes events to the audit trail, each in one statement with the change it records.

A single statement needs no transaction around it, so a write is one round trip where
the ORM takes four. Only this module and `uploads.audit.restore` write events;
`uploads.audit.seals` makes the seals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any

from django.db import Error, connection, transaction
from django.utils import timezone
from psycopg import RawCursor
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from mirrorsite.actors import Actor
from mirrorsite.database import reason
from uploads.audit.canonical import refuse_fractions
from uploads.audit.models import Action, UploadEvent
from uploads.exceptions import AlreadyRecordedError, TrailUnavailableError

# ruff: noqa: S608 the statements hold names of tables and columns, and no values
_INSERT = (
    f"INSERT INTO {UploadEvent._meta.db_table}"
    " (action, at, actor, request_id, detail, upload_id)"
)
#: A statement for `write`; its sixth parameter is the upload's id, or None.
INSERT_EVENT = f"{_INSERT} VALUES ($1, $2, $3, $4, $5, $6)"
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
    """Open a transaction; raises `TrailUnavailableError` for errors of the database."""
    with database_errors(), transaction.atomic():
        yield


def record_without_upload(
    action: Action, actor: Actor, *, detail: dict[str, Any] | None = None
) -> None:
    """Record an event that concerns no upload; raises `TrailUnavailableError`."""
    write(INSERT_EVENT, [None], action, actor, detail)


def with_event(change: str) -> str:
    """Return a statement for `write` that changes an upload and adds an event.

    It adds none if `change` affects no row. The parameters of `change` begin at `$6`.
    """
    return (
        f"WITH upload AS ({change} RETURNING id)"
        f" {_INSERT} SELECT $1, $2, $3, $4, $5, id FROM upload"
    )


def write(
    statement: str,
    values: Sequence[Any],
    action: Action,
    actor: Actor,
    detail: dict[str, Any] | None = None,
    at: datetime | None = None,
    *,
    may_add_none: bool = False,
) -> int:
    """Execute a statement that adds an event; return the number of events added.

    The statement's first five parameters are the event's columns, and `values` the
    others. `at` is the event's time, the current one by default.

    Raises `NotCanonicalError` for a detail that could never be sealed,
    `AlreadyRecordedError` if a unique constraint is violated, and
    `TrailUnavailableError` for other errors of the database. It is also raised if no
    event was added, because a trigger may have dropped it; `may_add_none=True` allows
    that none is added.
    """
    # A number with a fraction has no canonical form.
    refuse_fractions(detail)
    event = action, at or timezone.now(), actor.name, actor.request_id
    parameters = [*event, Jsonb(detail or {}), *values]
    # Within a transaction, a savepoint keeps an error from aborting all of it.
    savepoint = transaction.atomic() if connection.in_atomic_block else nullcontext()
    try:
        with savepoint, connection.wrap_database_errors:
            # Replace a dropped connection, as Django's cursor does. The server may have
            # dropped it since the request's first statement, while the object was stored.
            if not connection.in_atomic_block:
                connection.health_check_done = False  # type: ignore[attr-defined]
            connection.close_if_health_check_failed()
            connection.ensure_connection()
            # Django's cursor puts the values into the SQL text, which takes a quarter
            # more processor time.
            with RawCursor(connection.connection) as cursor:
                cursor.execute(statement, parameters, prepare=True)
                if cursor.rowcount == 0 and not may_add_none:
                    raise TrailUnavailableError(f"{_NOT_WRITTEN}: no event was added")
                return cursor.rowcount
    except Error as error:
        cause = error.__cause__
        # A violation in the events' own table means something else: a duplicate event id,
        # for example after the sequence was reset.
        if (
            isinstance(cause, UniqueViolation)
            and cause.diag.table_name != UploadEvent._meta.db_table
        ):
            raise AlreadyRecordedError("the upload is recorded already") from error
        raise TrailUnavailableError(f"{_NOT_WRITTEN}: {reason(error)}") from error
