"""The triggers that make the record append-only in the database itself.

Events and seals: no UPDATE, DELETE or TRUNCATE, but an event's `seal` may go from null
to a value while every other column stays. Uploads change their state, but are never
deleted, truncated, or given another id or key. Tokens and users, whose names are the
actors of events, are never deleted or renamed; of a token nothing changes but its last
use, and its revocation once. The error is an integrity error on both
databases and says what was refused.

Who owns the tables can drop the triggers: they stop mistakes and an attacker with the
application's statements, and the check and readiness report their absence. What an
owner does to the rows afterwards is found by the seals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

MIGRATION = ("uploads", "0003_append_only_triggers")
EVENTS = "uploads_uploadevent"
SEALS = "uploads_auditseal"
UPLOADS = "uploads_upload"
TOKENS = "tokens_token"
USERS = "auth_user"

# pg_trigger.tgtype, bit by bit: src/include/catalog/pg_trigger.h of PostgreSQL.
_ROW, _BEFORE, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 8, 16, 32
_OPERATIONS = {"DELETE": _DELETE, "UPDATE": _UPDATE, "TRUNCATE": _TRUNCATE}


@dataclass(frozen=True, slots=True)
class _Trigger:
    name: str
    table: str
    operations: tuple[str, ...]
    function: str

    @property
    def is_for_rows(self) -> bool:
        return "TRUNCATE" not in self.operations

    @property
    def tgtype(self) -> int:
        bits = sum(_OPERATIONS[operation] for operation in self.operations)
        return bits | _BEFORE | (_ROW if self.is_for_rows else 0)

    def statement(self) -> str:
        level = "ROW" if self.is_for_rows else "STATEMENT"
        return (
            f"CREATE TRIGGER {self.name} BEFORE {' OR '.join(self.operations)}"
            f" ON {self.table} FOR EACH {level} EXECUTE FUNCTION {self.function}()"
        )


_RAISE = "RAISE integrity_constraint_violation USING MESSAGE ="
_FUNCTIONS = {
    "uploads_refuse": f"""
BEGIN
  {_RAISE} TG_TABLE_NAME || ' is append-only: ' || TG_OP || ' is refused';
END
""",
    # *= compares the stored bytes of whole rows: no column is forgotten, and a JSON
    # number that became 1.0 is not taken for 1.
    "uploads_seal_only": f"""
DECLARE
  unsealed {EVENTS};
BEGIN
  unsealed := NEW;
  unsealed.seal_id := NULL;
  IF OLD.seal_id IS NULL AND NEW.seal_id IS NOT NULL AND OLD *= unsealed THEN
    RETURN NEW;
  END IF;
  {_RAISE} TG_TABLE_NAME || ' is append-only: UPDATE is refused';
END
""",
    "uploads_keep_identity": f"""
BEGIN
  IF OLD.id = NEW.id AND OLD.key = NEW.key THEN
    RETURN NEW;
  END IF;
  {_RAISE} 'an upload keeps its id and key: UPDATE is refused';
END
""",
    "uploads_revoke_only": f"""
DECLARE
  unrevoked {TOKENS};
BEGIN
  unrevoked := NEW;
  unrevoked.last_used_at := OLD.last_used_at;
  IF OLD.revoked_at IS NULL THEN
    unrevoked.revoked_at := NULL;
  END IF;
  IF OLD *= unrevoked THEN
    RETURN NEW;
  END IF;
  {_RAISE} 'a token is revoked once and changes in no other way: UPDATE is refused';
END
""",
    "uploads_keep_name": f"""
BEGIN
  IF OLD.id = NEW.id AND OLD.username = NEW.username THEN
    RETURN NEW;
  END IF;
  {_RAISE} 'a user keeps their id and name: UPDATE is refused';
END
""",
}
_POSTGRESQL = (
    _Trigger("uploads_event_update", EVENTS, ("UPDATE",), "uploads_seal_only"),
    _Trigger("uploads_event_delete", EVENTS, ("DELETE",), "uploads_refuse"),
    _Trigger("uploads_event_truncate", EVENTS, ("TRUNCATE",), "uploads_refuse"),
    _Trigger("uploads_seal_change", SEALS, ("DELETE", "UPDATE"), "uploads_refuse"),
    _Trigger("uploads_seal_truncate", SEALS, ("TRUNCATE",), "uploads_refuse"),
    _Trigger("uploads_upload_update", UPLOADS, ("UPDATE",), "uploads_keep_identity"),
    _Trigger("uploads_upload_delete", UPLOADS, ("DELETE",), "uploads_refuse"),
    _Trigger("uploads_upload_truncate", UPLOADS, ("TRUNCATE",), "uploads_refuse"),
    _Trigger("uploads_token_update", TOKENS, ("UPDATE",), "uploads_revoke_only"),
    _Trigger("uploads_token_delete", TOKENS, ("DELETE",), "uploads_refuse"),
    _Trigger("uploads_token_truncate", TOKENS, ("TRUNCATE",), "uploads_refuse"),
    _Trigger("uploads_user_update", USERS, ("UPDATE",), "uploads_keep_name"),
    _Trigger("uploads_user_delete", USERS, ("DELETE",), "uploads_refuse"),
    _Trigger("uploads_user_truncate", USERS, ("TRUNCATE",), "uploads_refuse"),
)


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers, again if they are there."""
    _execute(connection, _installation(connection))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers, and the functions behind them."""
    _execute(connection, _removal(connection))


@contextmanager
def removed(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Do without the triggers for a while, as only the owner of the tables can."""
    remove(connection)
    try:
        yield
    finally:
        install(connection)


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of triggers that are missing, switched off or altered.

    None is missed before their migration. Raises `django.db.Error` when the database
    is away.
    """
    if MIGRATION not in MigrationRecorder(connection).applied_migrations():
        return []
    if connection.vendor == "postgresql":
        return _missing_postgresql(connection)
    return _missing_sqlite(connection)


def reinstall(connection: BaseDatabaseWrapper) -> list[str]:
    """Create again what is missing; return its names."""
    names = missing(connection)
    if names:
        install(connection)
    return names


def _execute(connection: BaseDatabaseWrapper, statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _installation(connection: BaseDatabaseWrapper) -> list[str]:
    statements = _removal(connection)
    if connection.vendor != "postgresql":
        return statements + list(_sqlite_triggers(connection).values())
    for name, body in _FUNCTIONS.items():
        statements.append(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
        )
    for trigger in _POSTGRESQL:
        statements.append(trigger.statement())
        # ALWAYS: session_replication_role = replica does not switch it off.
        statements.append(
            f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}"
        )
    return statements


def _removal(connection: BaseDatabaseWrapper) -> list[str]:
    if connection.vendor != "postgresql":
        return [f"DROP TRIGGER IF EXISTS {name}" for name in _SQLITE_NAMES]
    return [
        *(
            f"DROP TRIGGER IF EXISTS {trigger.name} ON {trigger.table}"
            for trigger in _POSTGRESQL
        ),
        *(f"DROP FUNCTION IF EXISTS {name}()" for name in _FUNCTIONS),
    ]


def _missing_postgresql(connection: BaseDatabaseWrapper) -> list[str]:
    """Compare the catalogue with what `install` makes, function bodies included."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.tgname, t.tgtype, t.tgrelid = to_regclass(w.relname), p.prosrc
            FROM pg_trigger t
            JOIN pg_class w ON w.oid = t.tgrelid
            JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgattr = ''
            """
        )
        found = {(name, kind, body) for name, kind, ours, body in cursor if ours}
    return [
        trigger.name
        for trigger in _POSTGRESQL
        if (trigger.name, trigger.tgtype, _FUNCTIONS[trigger.function]) not in found
    ]


# --- SQLite ------------------------------------------------------------------------

_SQLITE_NAMES = (
    "uploads_event_update",
    "uploads_event_delete",
    "uploads_event_replace",
    "uploads_seal_update",
    "uploads_seal_delete",
    "uploads_seal_replace",
    "uploads_upload_update",
    "uploads_upload_delete",
    "uploads_upload_replace",
)


def _sqlite_triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return each trigger's name with its statement, for the tables as they are.

    The `_replace` triggers are for connections without `PRAGMA recursive_triggers`:
    there INSERT OR REPLACE removes the row in its way without any DELETE trigger.
    """
    with connection.cursor() as cursor:
        # Not Django's introspection: it opens a transaction of its own, which waits for
        # whoever writes.
        cursor.execute("SELECT name FROM pragma_table_info(%s)", [EVENTS])
        others = [name for (name,) in cursor.fetchall() if name != "seal_id"]
    unchanged = " AND ".join(f'OLD."{name}" IS NEW."{name}"' for name in others)
    sealing = f"OLD.seal_id IS NULL AND NEW.seal_id IS NOT NULL AND {unchanged}"
    triggers = {
        "uploads_event_update": _sqlite(EVENTS, "UPDATE", f"NOT ({sealing})"),
        "uploads_event_delete": _sqlite(EVENTS, "DELETE"),
        "uploads_event_replace": _sqlite(EVENTS, "INSERT", _taken(EVENTS, "id")),
        "uploads_seal_update": _sqlite(SEALS, "UPDATE"),
        "uploads_seal_delete": _sqlite(SEALS, "DELETE"),
        "uploads_seal_replace": _sqlite(
            SEALS, "INSERT", _taken(SEALS, "number", "previous")
        ),
        "uploads_upload_update": _sqlite(
            UPLOADS, "UPDATE", "OLD.id IS NOT NEW.id OR OLD.key IS NOT NEW.key"
        ),
        "uploads_upload_delete": _sqlite(UPLOADS, "DELETE"),
        "uploads_upload_replace": _sqlite(
            UPLOADS, "INSERT", _taken(UPLOADS, "id", "key")
        ),
    }
    return {name: f"CREATE TRIGGER {name} {body}" for name, body in triggers.items()}


def _sqlite(table: str, operation: str, when: str = "") -> str:
    if operation == "INSERT":
        what = "REPLACE"
    elif table == UPLOADS and operation == "UPDATE":
        what = "another id or key"
    else:
        what = operation
    condition = f" WHEN {when}" if when else ""
    return (
        f"BEFORE {operation} ON {table} FOR EACH ROW{condition} BEGIN"
        f" SELECT RAISE(ABORT, '{table} is append-only: {what} is refused'); END"
    )


def _taken(table: str, *columns: str) -> str:
    same = " OR ".join(f"{column} = NEW.{column}" for column in columns)
    return f"EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 names from here


def _missing_sqlite(connection: BaseDatabaseWrapper) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        found: dict[str, Any] = dict(cursor.fetchall())
    return [
        name
        for name, statement in _sqlite_triggers(connection).items()
        if _unquoted(found.get(name, "")) != _unquoted(statement)
    ]


def _unquoted(statement: str) -> str:
    """Drop the quotes and spaces that SQLite adds when a table is renamed."""
    return re.sub(r'["\s]', "", statement)
