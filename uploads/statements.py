"""The writes of every upload in as few statements as the database takes.

The ORM builds its SQL anew for each row, which is most of what writing a row costs;
here it is built once for a table and its values are prepared by the same fields. On
PostgreSQL row and event go in one statement, which is a transaction of its own: one
round trip instead of four. On SQLite they are two, within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Field, Model

from uploads.models import Upload, UploadEvent

_EVENT = tuple(f for f in UploadEvent._meta.concrete_fields if not f.primary_key)
_UPLOAD = tuple(Upload._meta.concrete_fields)
#: As what PostgreSQL is to take a parameter that stands in a SELECT.
_CASTS = {
    "CharField": "text",
    "DateTimeField": "timestamptz",
    "JSONField": "jsonb",
    "ForeignKey": "bigint",
}


def insert(upload: Upload, event: UploadEvent) -> None:
    """Write a new upload and its first event; raises `django.db.Error`."""
    row, happened = _values(_UPLOAD, upload), _values(_EVENT, event)
    if connection.vendor == "postgresql":
        _run(
            f"WITH made AS ({_insert(Upload, _UPLOAD)}) {_insert(UploadEvent, _EVENT)}",
            row + happened,
        )
    else:
        _run(_insert(Upload, _UPLOAD), row)
        _run(_insert(UploadEvent, _EVENT), happened)
    upload._state.adding = False
    upload._state.db = connection.alias


def update(
    upload: Upload,
    before: str,
    changes: Mapping[str, Any],
    event: UploadEvent,
    only_if: Mapping[str, Any],
) -> bool:
    """Write `changes` and the event if the upload is as it was; tell whether it was.

    That is: its status is `before`, and its columns are those of `only_if`. Raises
    `django.db.Error`.
    """
    conditions = {"id": upload.pk, "status": before, **only_if}
    columns, values = tuple(changes), _named(changes)
    # In SQL nothing equals null.
    wanted = tuple((name, conditions[name] is None) for name in conditions)
    values += _named({k: v for k, v in conditions.items() if v is not None})
    happened = _values(_EVENT, event)
    if connection.vendor == "postgresql":
        return _run(_update_with_event(columns, wanted), values + happened) > 0
    if _run(_update(columns, wanted), values) == 0:
        return False
    _run(_insert(UploadEvent, _EVENT), happened)
    return True


@cache
def _insert(model: type[Model], fields: tuple[Field[Any, Any], ...]) -> str:
    columns = ", ".join(field.column for field in fields)
    marks = ", ".join([_mark()] * len(fields))
    return f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({marks})"  # noqa: S608


@cache
def _update(names: tuple[str, ...], wanted: tuple[tuple[str, bool], ...]) -> str:
    assignments = ", ".join(f"{_column(name)} = {_mark()}" for name in names)
    conditions = " AND ".join(
        f"{_column(name)} IS NULL" if is_null else f"{_column(name)} = {_mark()}"
        for name, is_null in wanted
    )
    return f"UPDATE {Upload._meta.db_table} SET {assignments} WHERE {conditions}"  # noqa: S608


@cache
def _update_with_event(
    names: tuple[str, ...], wanted: tuple[tuple[str, bool], ...]
) -> str:
    columns = ", ".join(field.column for field in _EVENT)
    marks = ", ".join(
        "%s::" + ("uuid" if f.name == "upload" else _CASTS[f.get_internal_type()])
        for f in _EVENT
    )
    return (
        f"WITH changed AS ({_update(names, wanted)} RETURNING id)"  # noqa: S608
        f" INSERT INTO {UploadEvent._meta.db_table} ({columns})"
        f" SELECT {marks} FROM changed"
    )


def _column(name: str) -> str:
    return str(Upload._meta.get_field(name).column)  # type: ignore[union-attr]


def _mark() -> str:
    return "%s" if connection.vendor == "postgresql" else "?"


def _named(values: Mapping[str, Any]) -> list[Any]:
    return _prepared((Upload._meta.get_field(k), v) for k, v in values.items())


def _values(fields: Iterable[Field[Any, Any]], row: Model) -> list[Any]:
    return _prepared((field, getattr(row, field.attname)) for field in fields)


def _prepared(pairs: Iterable[tuple[Any, Any]]) -> list[Any]:
    return [field.get_db_prep_save(value, connection) for field, value in pairs]


def _run(statement: str, parameters: Sequence[Any]) -> int:
    """Carry out one statement on this thread's connection; return the rows it wrote."""
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            from psycopg import Cursor

            # Parameters apart from the statement, which Django's own cursor does not.
            with Cursor(connection.connection) as cursor:
                cursor.execute(statement, parameters)
                return cursor.rowcount
        return int(connection.connection.execute(statement, parameters).rowcount)
