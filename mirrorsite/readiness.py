"""Checks of what the service depends on, cached for a few seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.migrations.executor import MigrationExecutor

logger = logging.getLogger(__name__)

#: Several probers ask every few seconds; one check serves them all.
CACHE_SECONDS = 3.0
#: How long a probe waits for the checks that another one has begun.
WAIT_SECONDS = 1.0
SLOW = "unavailable: no answer yet"


def check_database() -> str:
    """Return "ok", or why the database cannot be used."""
    try:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            (is_read_only,) = cursor.fetchone()
    except Error as error:
        logger.warning("readiness: database unavailable: %s", error)
        return "unavailable: the database does not answer"
    if is_read_only == "on":  # such as a standby
        return "unavailable: the database is read-only"
    return "ok"


def check_migrations() -> str:
    """Return "ok", or that migrations are not applied."""
    try:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error:
        return "unavailable: the database does not answer"
    if missing:
        return f"unavailable: {len(missing)} migrations are not applied"
    return "ok"


class Readiness:
    """Runs the checks in one thread at a time and keeps their outcome briefly."""

    def __init__(
        self,
        checks: dict[str, Callable[[], str]],
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._checks = checks
        self._need_database = {"migrations"}
        self._wait = wait_seconds
        self._lock = threading.Lock()
        self._outcome: dict[str, str] = {}
        self._until = 0.0

    def add(
        self, name: str, check: Callable[[], str], *, needs_database: bool = False
    ) -> None:
        """Add a check; it returns "ok" or one line that says what is wrong."""
        self._checks[name] = check
        if needs_database:
            self._need_database.add(name)

    def checks(self) -> dict[str, str]:
        """Return each dependency's name with "ok" or one line that says what is wrong.

        While another thread runs the checks, this one waits up to `wait_seconds` and
        then reports those without an outcome as not answering.
        """
        if not self._lock.acquire(timeout=self._wait):
            known = dict(self._outcome)
            return {name: known.get(name, SLOW) for name in self._checks}
        try:
            if time.monotonic() >= self._until:
                self._outcome = {}
                # One by one: a name without an outcome is still being checked.
                for name, check in self._checks.items():
                    database = self._outcome.get("database", "ok")
                    # Each would wait for the same connection.
                    is_down = name in self._need_database and database != "ok"
                    self._outcome[name] = database if is_down else check()
                self._until = time.monotonic() + CACHE_SECONDS
            return self._outcome
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Ask again at the next call."""
        with self._lock:
            self._until = 0.0


#: Apps add what they depend on when they are ready.
readiness = Readiness(
    {
        "database": check_database,
        "migrations": check_migrations,
    }
)
