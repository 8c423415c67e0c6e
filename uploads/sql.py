"""The two writes of every upload: its row and an event, in one statement.

A statement outside of a transaction is one by itself, so this is a round trip where
the ORM takes four, and building its SQL for each row costs more than sending it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any

from django.db import connection
from django.db.transaction import atomic
from psycopg.types.json import Jsonb

from uploads.models import Upload, UploadEvent

_UPLOAD = tuple(Upload._meta.concrete_fields)
_UPLOAD_COLUMNS = ", ".join(field.column for field in _UPLOAD)
_EVENT_COLUMNS = "action, at, actor, request_id, detail, upload_id"
_UPLOADS, _EVENTS = Upload._meta.db_table, UploadEvent._meta.db_table

_INSERT = (
    f"WITH created AS (INSERT INTO {_UPLOADS} ({_UPLOAD_COLUMNS})"  # noqa: S608 names of columns
    f" VALUES ({', '.join(['%s'] * len(_UPLOAD))}) RETURNING id)"
    f" INSERT INTO {_EVENTS} ({_EVENT_COLUMNS})"
    " SELECT %s, %s, %s, %s, %s, id FROM created"
)


def insert_upload(upload: Upload, event: UploadEvent) -> None:
    """Write a new upload and its first event; raises `django.db.Error`."""
    values = [getattr(upload, field.attname) for field in _UPLOAD]
    _execute(_INSERT, values + _event_values(event))
    upload._state.adding = False


def update_upload(
    conditions: Mapping[str, Any], changes: Mapping[str, Any], event: UploadEvent
) -> bool:
    """Change the one upload that meets the conditions, and write the event.

    Both name attributes of `Upload`. Returns False, and writes nothing, if there is no
    such upload. Raises `django.db.Error`.
    """
    statement = _update(tuple(changes), tuple(conditions))
    values = [*changes.values(), *conditions.values()]
    return _execute(statement, values + _event_values(event)) == 1


@cache
def _update(changes: Sequence[str], conditions: Sequence[str]) -> str:
    assignments = ", ".join(f"{_column(name)} = %s" for name in changes)
    # Like "=", and true of two nulls.
    met = " AND ".join(f"{_column(n)} IS NOT DISTINCT FROM %s" for n in conditions)
    return (
        f"WITH changed AS (UPDATE {_UPLOADS} SET {assignments} WHERE {met} RETURNING id)"  # noqa: S608
        f" INSERT INTO {_EVENTS} ({_EVENT_COLUMNS})"
        " SELECT %s, %s, %s, %s, %s, id FROM changed"
    )


def _column(name: str) -> str:
    return str(Upload._meta.get_field(name).column)  # type: ignore[union-attr]


def _event_values(event: UploadEvent) -> list[Any]:
    return [event.action, event.at, event.actor, event.request_id, Jsonb(event.detail)]


def _execute(statement: str, values: Sequence[Any]) -> int:
    # Within a transaction, a savepoint keeps an error from ending all of it.
    savepoint = atomic() if connection.in_atomic_block else nullcontext()
    with savepoint, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)
