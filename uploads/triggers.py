"""The triggers that make the audit trail append-only in the database.

Events and seals: no UPDATE, DELETE or TRUNCATE, except that an event's `seal` may be set
once. Uploads may be updated, except for their id and key, but not deleted or truncated.
Tokens and users, whose names are the actors of events, may not be deleted or renamed. A
token's last use may be updated and its revocation set once; its other columns are fixed.
A refused statement raises an integrity error that names the operation.

The tables' owner can drop the triggers. They prevent mistakes, and stop an attacker who
can only run the application's statements. The system check and the readiness probe
report missing triggers; verification finds rows that were changed without them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from mirrorsite.readiness import DATABASE_UNAVAILABLE

logger = logging.getLogger(__name__)

EVENTS = "uploads_uploadevent"
SEALS = "uploads_auditseal"
UPLOADS = "uploads_upload"
TOKENS = "tokens_token"
USERS = "auth_user"


@dataclass(frozen=True, slots=True)
class _Trigger:
    name: str
    table: str
    operations: str
    function: str

    @property
    def definition(self) -> str:
        """Return the statement that creates it, as `pg_get_triggerdef` writes it."""
        level = "STATEMENT" if self.operations == "TRUNCATE" else "ROW"
        return (
            f"CREATE TRIGGER {self.name} BEFORE {self.operations} ON {self.table}"
            f" FOR EACH {level} EXECUTE FUNCTION {self.function}()"
        )


_RAISE = "RAISE integrity_constraint_violation USING MESSAGE ="
# The operators are qualified by schema: search_path may have other ones first.
_FUNCTIONS = {
    "uploads_refuse": f"""
BEGIN
  {_RAISE} TG_TABLE_NAME || ' is append-only: ' || TG_OP || ' is refused';
END
""",
    # *= compares the stored bytes of whole rows, so that no column is left out, and 1.0
    # in JSON differs from 1.
    "uploads_seal_only": f"""
DECLARE
  unsealed record;
BEGIN
  unsealed := NEW;
  unsealed.seal_id := NULL;
  IF OLD.seal_id IS NULL AND NEW.seal_id IS NOT NULL
     AND OLD OPERATOR(pg_catalog.*=) unsealed THEN
    RETURN NEW;
  END IF;
  {_RAISE} TG_TABLE_NAME || ' is append-only: UPDATE is refused';
END
""",
    "uploads_keep_identity": f"""
BEGIN
  IF OLD.id OPERATOR(pg_catalog.=) NEW.id
     AND OLD.key OPERATOR(pg_catalog.=) NEW.key THEN
    RETURN NEW;
  END IF;
  {_RAISE} 'an upload keeps its id and key: UPDATE is refused';
END
""",
    "uploads_revoke_only": f"""
DECLARE
  unrevoked record;
BEGIN
  unrevoked := NEW;
  unrevoked.last_used_at := OLD.last_used_at;
  IF OLD.revoked_at IS NULL THEN
    unrevoked.revoked_at := NULL;
  END IF;
  IF OLD OPERATOR(pg_catalog.*=) unrevoked THEN
    RETURN NEW;
  END IF;
  {_RAISE} 'a token is revoked once and changes in no other way: UPDATE is refused';
END
""",
    "uploads_keep_name": f"""
BEGIN
  IF OLD.id OPERATOR(pg_catalog.=) NEW.id
     AND OLD.username OPERATOR(pg_catalog.=) NEW.username THEN
    RETURN NEW;
  END IF;
  {_RAISE} 'a user keeps their id and name: UPDATE is refused';
END
""",
}
_TRIGGERS = (
    _Trigger("uploads_event_update", EVENTS, "UPDATE", "uploads_seal_only"),
    _Trigger("uploads_event_delete", EVENTS, "DELETE", "uploads_refuse"),
    _Trigger("uploads_event_truncate", EVENTS, "TRUNCATE", "uploads_refuse"),
    _Trigger("uploads_seal_change", SEALS, "DELETE OR UPDATE", "uploads_refuse"),
    _Trigger("uploads_seal_truncate", SEALS, "TRUNCATE", "uploads_refuse"),
    _Trigger("uploads_upload_update", UPLOADS, "UPDATE", "uploads_keep_identity"),
    _Trigger("uploads_upload_delete", UPLOADS, "DELETE", "uploads_refuse"),
    _Trigger("uploads_upload_truncate", UPLOADS, "TRUNCATE", "uploads_refuse"),
    _Trigger("uploads_token_update", TOKENS, "UPDATE", "uploads_revoke_only"),
    _Trigger("uploads_token_delete", TOKENS, "DELETE", "uploads_refuse"),
    _Trigger("uploads_token_truncate", TOKENS, "TRUNCATE", "uploads_refuse"),
    _Trigger("uploads_user_update", USERS, "UPDATE", "uploads_keep_name"),
    _Trigger("uploads_user_delete", USERS, "DELETE", "uploads_refuse"),
    _Trigger("uploads_user_truncate", USERS, "TRUNCATE", "uploads_refuse"),
)


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the triggers and their functions; replace those that exist.

    In one transaction, so that the tables are never seen without them.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        # CREATE OR REPLACE cannot change a function's return type or a trigger's kind.
        remove(connection)
        for name, body in _FUNCTIONS.items():
            cursor.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger"
                f" LANGUAGE plpgsql AS $${body}$$"
            )
        for trigger in _TRIGGERS:
            cursor.execute(trigger.definition)
            # ALWAYS: session_replication_role = replica does not switch it off.
            cursor.execute(
                f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}"
            )


def remove(connection: BaseDatabaseWrapper) -> None:
    """Drop the triggers, and the functions behind them."""
    with connection.cursor() as cursor:
        for trigger in _TRIGGERS:
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name} ON {trigger.table}")
        for name in _FUNCTIONS:
            cursor.execute(f"DROP FUNCTION IF EXISTS {name}()")


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of triggers that are missing, disabled or altered.

    Compares the catalogue with what `install` creates, including function bodies and
    settings. Before the tables exist, no trigger is missing. Raises `django.db.Error`
    when the database is unavailable.
    """
    with connection.cursor() as cursor:
        # Do the tables exist? django_migrations would show that, too, but no trigger protects
        # its rows: an attacker who deleted them could hide missing triggers.
        cursor.execute("SELECT to_regclass(%s)", [EVENTS])
        if cursor.fetchone() == (None,):
            return []
        cursor.execute(
            """
            SELECT pg_get_triggerdef(t.oid, true), p.prosrc
            FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE t.tgenabled = 'A' AND p.proconfig IS NULL AND NOT p.prosecdef
            """
        )
        found = cursor.fetchall()
    return [
        trigger.name
        for trigger in _TRIGGERS
        if (trigger.definition, _FUNCTIONS[trigger.function]) not in found
    ]


def check() -> str:
    """Return "ok", or why the audit trail is not append-only; for `/api/ready`."""
    try:
        names = missing(connections[DEFAULT_DB_ALIAS])
    except Error:
        return DATABASE_UNAVAILABLE
    if names:
        return (
            "unavailable: append-only triggers are missing or altered:"
            f" {', '.join(names)}"
        )
    return "ok"


def reinstall(*, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """Install the triggers if any is missing; called after each `migrate`."""
    if names := missing(connections[using]):
        install(connections[using])
        logger.warning(
            "triggers were missing and have been reinstalled: %s", ", ".join(names)
        )
