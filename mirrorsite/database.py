"""How the service connects to PostgreSQL: one connection for each thread, with timeouts.

Django checks a thread's connection before its first statement of a request and opens
another if the server has dropped it, so no request fails after a server restart. There is
no pool: psycopg's sleeps a second or more for each dead connection that it finds.
"""

from __future__ import annotations

from typing import Any

import dj_database_url
import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg.conninfo import make_conninfo

#: How long a statement waits for a row, table or advisory lock of another session.
LOCK_TIMEOUT_SECONDS = 5
#: How long one statement of a request may take; `manage.py` lifts this limit.
STATEMENT_TIMEOUT_SECONDS = 30
#: How long a thread waits for PostgreSQL's answer before it closes its connection.
#: PostgreSQL ends a statement earlier, unless its process is stopped or its machine hangs.
ANSWER_SECONDS = STATEMENT_TIMEOUT_SECONDS + 2
#: A connection is replaced after this long, so that connections move to a new server.
_MAX_AGE_SECONDS = 600
#: A server that vanishes without closing its connections is noticed within seconds:
#: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-TCP-USER-TIMEOUT
_CONNECTION_OPTIONS: dict[str, Any] = {
    "connect_timeout": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
}
#: Mean an unavailable database. Django wraps psycopg's errors here in an
#: `InternalError`, whose cause they are.
_UNAVAILABLE = (
    OperationalError,
    InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)
_WANTED = "set it to postgresql://user:password@host:5432/name"


def connection_settings(url: str) -> dict[str, Any]:
    """Return Django's settings for the database of DATABASE_URL.

    Options set here take precedence over ALTER ROLE and ALTER DATABASE, and options in the
    URL over both. Raises `ImproperlyConfigured`.
    """
    try:
        database: dict[str, Any] = dict(
            dj_database_url.parse(
                url, conn_max_age=_MAX_AGE_SECONDS, conn_health_checks=True
            )
        )
    except (ValueError, dj_database_url.ParseError) as error:
        raise ImproperlyConfigured(
            f"DATABASE_URL cannot be read; {_WANTED}."
        ) from error
    if database["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured(f"DATABASE_URL is not a PostgreSQL URL; {_WANTED}.")
    if not database["NAME"]:
        raise ImproperlyConfigured(f"DATABASE_URL names no database; {_WANTED}.")
    options = _CONNECTION_OPTIONS | database.get("OPTIONS", {})
    options["options"] = _server_options(
        lock_timeout=f"{LOCK_TIMEOUT_SECONDS}s",
        statement_timeout=f"{STATEMENT_TIMEOUT_SECONDS}s",
        search_path="public",  # tables of the same names in other schemas are not ours
        quote_all_identifiers="off",  # the definitions of triggers are compared as text
        # A stricter level lets concurrent uploads fail, to be repeated by the client.
        default_transaction_isolation=r"read\ committed",
    ) + options.get("options", "")
    try:
        # Raises if libpq does not know an option; assume_role is Django's own.
        make_conninfo(**{k: v for k, v in options.items() if k != "assume_role"})
    except psycopg.Error as error:
        # libpq's message names the option and no password.
        raise ImproperlyConfigured(
            f"DATABASE_URL has an unusable option ({str(error).strip()});"
            f" {_WANTED}, with options that PostgreSQL knows, such as ?sslmode=require."
        ) from error
    return database | {
        "ENGINE": "mirrorsite.postgresql",
        "ANSWER_SECONDS": ANSWER_SECONDS,
        "OPTIONS": options,
    }


def read_only_settings(database: dict[str, Any], *, seconds: int) -> dict[str, Any]:
    """Return settings for a read-only connection.

    `seconds` limits connecting and each statement.
    """
    options = dict(database["OPTIONS"])
    options["connect_timeout"] = seconds
    options["options"] += " " + _server_options(
        statement_timeout=f"{seconds}s", default_transaction_read_only="on"
    )
    return database | {"ANSWER_SECONDS": seconds + 1, "OPTIONS": options}


def is_unavailable(error: BaseException | None) -> bool:
    """Return True if the error or one of its causes means an unavailable database.

    A database that refuses to write, such as a standby, counts as unavailable.
    """
    while error is not None:
        if isinstance(error, _UNAVAILABLE):
            return True
        error = error.__cause__
    return False


def reason(error: BaseException) -> str:
    """Return the first line of what PostgreSQL or its driver reports."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def lift_statement_timeout() -> None:
    """Lift the statement timeout of this process's connections, not the lock timeout.

    For operators' commands: migrations, or verification of the whole audit trail, can take
    longer than any request may.
    """
    connection_created.connect(
        _lift_statement_timeout, dispatch_uid="mirrorsite.statement_timeout"
    )


def _lift_statement_timeout(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    connection.connection.answer_seconds = None
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")


def _server_options(**settings: str) -> str:
    return "".join(f"-c {name}={value} " for name, value in settings.items())
