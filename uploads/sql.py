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
_UPLOAD_COLUMNS = ", ".join(field.column for field in _UPLOAD)
_EVENT_COLUMNS = ", ".join(Event._fields)
_EVENT_VALUES = ", ".join(["%s"] * len(Event._fields))

# ruff: noqa: S608 the names are those of columns
_INSERT_UPLOAD = (
    f"WITH upload AS (INSERT INTO {_UPLOADS} ({_UPLOAD_COLUMNS})"
    f" VALUES ({', '.join(['%s'] * len(_UPLOAD))}) RETURNING id)"
    f" INSERT INTO {_EVENTS} ({_EVENT_COLUMNS}, upload_id)"
    f" SELECT {_EVENT_VALUES}, id FROM upload"
)
_UPDATE_UPLOAD = (
    "WITH upload AS (UPDATE {uploads} SET {changes} WHERE id = %s{conditions}"
    " RETURNING id)"
    f" INSERT INTO {_EVENTS} ({_EVENT_COLUMNS}, upload_id)"
    f" SELECT {_EVENT_VALUES}, id FROM upload"
)
_INSERT_EVENT = (
    f"INSERT INTO {_EVENTS} ({_EVENT_COLUMNS}, upload_id) VALUES ({_EVENT_VALUES}, %s)"
)


def insert_upload(upload: Upload, event: Event) -> None:
    """Write a new upload and its first event; raises `django.db.Error`."""
    values = [getattr(upload, field.attname) for field in _UPLOAD]
    _execute(_INSERT_UPLOAD, [*values, *event])
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
    values = [*changes.values(), upload_id, *conditions.values(), *event]
    return _execute(statement, values) == 1


def insert_event(event: Event, upload_id: UUID | None) -> None:
    """Write an event alone; raises `django.db.Error`."""
    _execute(_INSERT_EVENT, [*event, upload_id])


@cache
def _update_upload(changes: Sequence[str], conditions: Sequence[str]) -> str:
    return _UPDATE_UPLOAD.format(
        uploads=_UPLOADS,
        changes=", ".join(f"{column} = %s" for column in changes),
        # Like "=", and true of two nulls; no index serves it.
        conditions="".join(f" AND {c} IS NOT DISTINCT FROM %s" for c in conditions),
    )


def _execute(statement: str, values: Sequence[Any]) -> int:
    # Within a transaction, a savepoint keeps an error from ending all of it.
    savepoint = atomic() if connection.in_atomic_block else nullcontext()
    with savepoint, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)
