"""What an attacker with the passwords of database and bucket can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connection, models, transaction

from uploads import triggers
from uploads.models import UploadEvent
from uploads.storage import UploadStorage

if TYPE_CHECKING:
    from tests.uploads.audit.trails import Trail

M = TypeVar("M", bound=models.Model)


#: The trail of the tests in tampered/: uploads under each seal.
SEALS = (2, 0, 3, 1, 0)
LAST = len(SEALS)
#: What an altered event does to the upload it tells of.
OF_UPLOADS = {"status differs", "facts differ"}
LATER = timedelta(minutes=10)
OTHER_HEX = "translate({}, '0123456789abcdef', '123456789abcdef0')"
A_BIT_LATER = "{} + interval '1 microsecond'"
#: PostgreSQL has these values, and Python has not; null has a line of its own.
UNREADABLE = (
    ("at", "'infinity'"),
    ("at", "'0044-03-15 BC'"),
    ("at", "'12000-01-01'"),
    ("detail", "jsonb_set({}, '{{size}}', '4.0')"),
    ("detail", f"'{'[' * 5000 + ']' * 5000}'"),
    ("detail", f"""'{{{{"size": {"9" * 5000}}}}}'"""),
    ("detail", "'null'"),
)


@contextmanager
def as_owner() -> Iterator[None]:
    """Remove the triggers and the tables' checks; all is undone at the end."""
    with transaction.atomic():
        # Checks that wait for the commit forbid ALTER TABLE until they have run.
        execute("SET CONSTRAINTS ALL IMMEDIATE")
        execute("SET CONSTRAINTS ALL DEFERRED")
        triggers.remove(connection)
        for table, name in _checks():
            execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        yield
        transaction.set_rollback(True)


def _checks() -> list[tuple[str, str]]:
    """Return table and name of each check constraint of the record."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint"
            " WHERE contype = 'c' AND conrelid::regclass::text LIKE 'uploads_%%'",
            [],
        )
        return list(cursor.fetchall())


@contextmanager
def without_triggers() -> Iterator[None]:
    """Drop the triggers and create them again at the end."""
    triggers.remove(connection)
    try:
        yield
    finally:
        triggers.install(connection)


def rows_of(model: type[M]) -> models.QuerySet[M]:
    """Return the rows without our querysets' refusals."""
    return models.QuerySet(model)


def delete(rows: models.QuerySet[Any]) -> None:
    rows._raw_delete("default")


def execute(statement: str, *parameters: Any) -> int:
    """Run a statement written with %s; return how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def insert_twin(table: str, where: str, **changes: str) -> None:
    """Show a second row with the same key, changed so: in a table that inherits."""
    execute(f"CREATE TABLE twin () INHERITS ({table})")
    execute(f"INSERT INTO twin SELECT * FROM ONLY {table} WHERE {where}")  # noqa: S608
    for column, value in changes.items():
        execute(f"UPDATE twin SET {column} = {value}")  # noqa: S608


def drop_primary_key(table: str, column: str) -> None:
    execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey CASCADE")
    execute(f"ALTER TABLE {table} ALTER {column} DROP IDENTITY IF EXISTS")
    execute(f"ALTER TABLE {table} ALTER {column} DROP NOT NULL")


def swap_events(first: int, second: int) -> None:
    """Exchange the ids of two events, and stay where they are otherwise."""
    events = rows_of(UploadEvent)
    seals = {pk: events.get(pk=pk).seal_id for pk in (first, second)}
    for old, new in ((first, -1), (second, first), (-1, second)):
        events.filter(pk=old).update(id=new)
    for pk, seal in seals.items():
        events.filter(pk=pk).update(seal_id=seal)


@contextmanager
def replaced(storage: UploadStorage, key: str, content: bytes | None) -> Iterator[None]:
    """Overwrite an object, or delete it for None; put back afterwards what was there."""
    bucket = storage.bucket_name
    answer = storage.client.list_objects_v2(Bucket=bucket, Prefix=key)
    before = b"".join(storage.read(key)) if answer.get("KeyCount") else None
    try:
        _set(storage, key, content)
        yield
    finally:
        _set(storage, key, before)


def _set(storage: UploadStorage, key: str, content: bytes | None) -> None:
    if content is None:
        storage.client.delete_object(Bucket=storage.bucket_name, Key=key)
    else:
        storage.client.put_object(Bucket=storage.bucket_name, Key=key, Body=content)


def assign(table: str, where: str, column: str, value: str) -> None:
    statement = f"UPDATE {table} SET {column} = {value.format(column)} WHERE {where}"  # noqa: S608
    assert execute(statement) == 1


def each(
    table: str, where: str, changes: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str]]:
    """Change one column after the other, and take each change back again."""
    with as_owner():
        for column, value in changes:
            with transaction.atomic():
                assign(table, where, column, value)
                yield column, value[:80]
                transaction.set_rollback(True)


def event_ids(**which: Any) -> list[int]:
    found = UploadEvent.objects.filter(**which).order_by("id")
    return list(found.values_list("id", flat=True))


def found(
    trail: Trail, *, beside: set[str] = OF_UPLOADS, **options: Any
) -> set[tuple[str, str]]:
    """Return the faults, without those of other kinds that come with them."""
    return {fault for fault in trail.faults(**options) if fault[0] not in beside}
