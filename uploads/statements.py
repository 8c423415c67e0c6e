"""The writes of every upload in as few statements as the database takes.

The ORM builds its SQL anew for each row, which is most of what writing a row costs;
here it is built once for a table and its values are prepared by the same fields. On
PostgreSQL row and event go in one statement, which is a transaction of its own: one
round trip instead of four; and so do those of several uploads. On SQLite each row has
its own, within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Field, Model

from uploads.models import Upload, UploadEvent

_EVENT = tuple(f for f in UploadEvent._meta.concrete_fields if not f.primary_key)
_UPLOAD = tuple(Upload._meta.concrete_fields)
#: As what PostgreSQL is to take a parameter that stands in a SELECT or in VALUES. Not
#: varchar(n), a cast to which would cut a text that is too long, and say nothing.
_CASTS = {
    "CharField": "text",
    "DateTimeField": "timestamptz",
    "DurationField": "interval",
    "JSONField": "jsonb",
    "BigIntegerField": "bigint",
    "TextField": "text",
    "UUIDField": "uuid",
}


@dataclass(frozen=True, slots=True)
class Intent:
    """A new upload and its first event."""

    upload: Upload
    event: UploadEvent


@dataclass(frozen=True, slots=True)
class Outcome:
    """What changes of an upload, and the event that tells why.

    Only if it is as it was: its status is `before`, and its columns are those of
    `only_if`.
    """

    upload: Upload
    before: str
    changes: Mapping[str, Any]
    event: UploadEvent
    only_if: Mapping[str, Any] = field(default_factory=dict)


def insert(intent: Intent) -> None:
    """Write one intent; raises `django.db.Error`."""
    if connection.vendor == "postgresql":
        insert_all([intent])
        return
    _run(_insert(Upload, _UPLOAD), _values(_UPLOAD, intent.upload))
    _run(_insert(UploadEvent, _EVENT), _values(_EVENT, intent.event))
    _mark_as_written(intent.upload)


def insert_all(intents: Sequence[Intent]) -> None:
    """Write all of them or none, in one statement (PostgreSQL)."""
    parameters: list[Any] = []
    for intent in intents:
        parameters += _values(_UPLOAD, intent.upload)
    for intent in intents:
        parameters += _values(_EVENT, intent.event)
    _run(_insert_with_events(len(intents)), parameters)
    for intent in intents:
        _mark_as_written(intent.upload)


def update(outcome: Outcome, *, lock_seconds: float | None = None) -> bool:
    """Write one outcome; tell whether the upload was as it had to be.

    Raises `django.db.Error`. `lock_seconds` is for PostgreSQL and outside of a
    transaction: for so long the row is waited for (see `is_held`).
    """
    conditions = {"id": outcome.upload.pk, "status": outcome.before, **outcome.only_if}
    columns, values = tuple(outcome.changes), _named(outcome.changes)
    # In SQL nothing equals null.
    wanted = tuple((name, conditions[name] is None) for name in conditions)
    values += _named({k: v for k, v in conditions.items() if v is not None})
    happened = _values(_EVENT, outcome.event)
    if connection.vendor == "postgresql":
        return (
            _run(_update_with_event(columns, wanted, lock_seconds), values + happened)
            > 0
        )
    if _run(_update(columns, wanted), values) == 0:
        return False
    _run(_insert(UploadEvent, _EVENT), happened)
    return True


def update_all(
    outcomes: Sequence[Outcome], *, lock_seconds: float | None = None
) -> set[UUID]:
    """Write outcomes in one statement (PostgreSQL); return whose upload was as it was.

    Those are written, all of them or none. The outcomes are of different uploads,
    from the same status, change the same columns, and ask for nothing more.
    `lock_seconds` as in `update`.
    """
    first = outcomes[0]
    columns = tuple(first.changes)
    parameters: list[Any] = []
    for outcome in outcomes:
        parameters += [outcome.upload.pk, *_named(outcome.changes)]
    parameters.append(first.before)
    for outcome in outcomes:
        parameters += _values(_EVENT, outcome.event)
    statement = _update_with_events(columns, len(outcomes), lock_seconds)
    return {row[0] for row in _rows(statement, parameters)}


def is_held(error: BaseException | None) -> bool:
    """Tell whether a statement gave up waiting for a row that another session holds."""
    return getattr(error, "sqlstate", None) == "55P03"  # lock_not_available


@cache
def _insert(model: type[Model], fields: tuple[Field[Any, Any], ...]) -> str:
    columns = ", ".join(field.column for field in fields)
    marks = ", ".join([_mark()] * len(fields))
    return f"INSERT INTO {model._meta.db_table} ({columns}) VALUES ({marks})"  # noqa: S608


@cache
def _insert_with_events(count: int) -> str:
    """Return the statement for so many uploads, each of them with its event."""
    more_rows, more_events = (
        (", (" + ", ".join(["%s"] * len(fields)) + ")") * (count - 1)
        for fields in (_UPLOAD, _EVENT)
    )
    return (
        f"WITH made AS ({_insert(Upload, _UPLOAD)}{more_rows})"
        f" {_insert(UploadEvent, _EVENT)}{more_events}"
    )


@cache
def _update(
    names: tuple[str, ...], wanted: tuple[tuple[str, bool], ...], source: str = ""
) -> str:
    assignments = ", ".join(f"{_column(name)} = {_mark()}" for name in names)
    conditions = " AND ".join(
        f"{_column(name)} IS NULL" if is_null else f"{_column(name)} = {_mark()}"
        for name, is_null in wanted
    )
    return (
        f"UPDATE {Upload._meta.db_table} SET {assignments}{source} WHERE {conditions}"  # noqa: S608
    )


#: A setting of the one transaction that the statement is, made before a row is locked:
#: the rows to change are joined with it. SET LOCAL would be a round trip of its own.
_PATIENCE = (
    "patience AS MATERIALIZED"
    " (SELECT set_config('lock_timeout', '{milliseconds:d}', true) AS milliseconds), "
)


def _patience(lock_seconds: float | None) -> tuple[str, str]:
    """Return what comes first in WITH, and how FROM goes on."""
    if lock_seconds is None:
        return "", ""
    return _PATIENCE.format(milliseconds=round(lock_seconds * 1000)), "patience"


@cache
def _update_with_event(
    names: tuple[str, ...],
    wanted: tuple[tuple[str, bool], ...],
    lock_seconds: float | None,
) -> str:
    patience, source = _patience(lock_seconds)
    update = _update(names, wanted, source and f" FROM {source}")
    columns = ", ".join(field.column for field in _EVENT)
    marks = ", ".join(_cast(field) for field in _EVENT)
    return (
        f"WITH {patience}changed AS ({update} RETURNING id)"  # noqa: S608
        f" INSERT INTO {UploadEvent._meta.db_table} ({columns})"
        f" SELECT {marks} FROM changed"
    )


@cache
def _update_with_events(
    names: tuple[str, ...], count: int, lock_seconds: float | None
) -> str:
    """Return the statement for so many uploads that change the columns `names`."""
    patience, source = _patience(lock_seconds)
    fields = tuple(Upload._meta.get_field(name) for name in ("id", *names))
    columns = ", ".join(_column(name) for name in ("id", *names))
    changes = ", ".join(f"{_column(name)} = new.{_column(name)}" for name in names)
    happened = ", ".join(field.column for field in _EVENT)
    event_row = ", ".join(f"event.{field.column}" for field in _EVENT)
    return (
        f"WITH {patience}new ({columns}) AS (VALUES {_rows_of(fields, count)}),"  # noqa: S608
        f" changed AS (UPDATE {Upload._meta.db_table} AS upload SET {changes} FROM new"
        f"{source and f', {source}'} WHERE upload.id = new.id AND upload.status = %s RETURNING upload.id)"
        f" INSERT INTO {UploadEvent._meta.db_table} ({happened})"
        f" SELECT {event_row} FROM (VALUES {_rows_of(_EVENT, count)})"
        f" AS event ({happened}) JOIN changed ON changed.id = event.upload_id"
        " RETURNING upload_id"
    )


def _rows_of(fields: Sequence[Any], count: int) -> str:
    """Return marks for rows of VALUES; the first row says what the columns are."""
    first = ", ".join(_cast(field) for field in fields)
    more = ", ".join(["%s"] * len(fields))
    return f"({first})" + f", ({more})" * (count - 1)


def _cast(field: Any) -> str:
    target = field.target_field if field.is_relation else field
    return "%s::" + _CASTS[target.get_internal_type()]


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


def _mark_as_written(upload: Upload) -> None:
    upload._state.adding = False
    upload._state.db = connection.alias


def _run(statement: str, parameters: Sequence[Any]) -> int:
    """Carry out one statement on this thread's connection; return the rows it wrote."""
    if connection.vendor == "postgresql":
        with _postgres_cursor() as cursor:
            cursor.execute(_numbered(statement), parameters)
            return int(cursor.rowcount)
    with _ready_connection():
        return int(connection.connection.execute(statement, parameters).rowcount)


def _rows(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Carry out one statement on PostgreSQL; return what it returns."""
    with _postgres_cursor() as cursor:
        cursor.execute(_numbered(statement), parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


@contextmanager
def _postgres_cursor() -> Iterator[Any]:
    from psycopg import RawCursor

    # Parameters apart from the statement, which Django's own cursor does not; and
    # numbered, which spares a search for marks at each use.
    with _ready_connection(), RawCursor(connection.connection) as cursor:
        yield cursor


@cache
def _numbered(statement: str) -> str:
    """Return a statement with its parameters numbered: $1, $2 and so on."""
    first, *others = statement.split("%s")
    return first + "".join(f"${n}{text}" for n, text in enumerate(others, 1))


@contextmanager
def _ready_connection() -> Iterator[None]:
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors:
        yield
