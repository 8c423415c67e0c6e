"""What the service depends on, asked at most every few seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.migrations.executor import MigrationExecutor

logger = logging.getLogger(__name__)

#: A probe comes every few seconds from each prober; asking once in a while serves all.
CACHE_SECONDS = 3.0
#: How long a probe waits for the checks that another one has begun.
PATIENCE_SECONDS = 1.0
SLOW = "unavailable: no answer yet"


def check_database() -> str:
    """Say "ok" when the database answers."""
    try:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        logger.warning("readiness: database unavailable: %s", error)
        return "unavailable: the database does not answer"
    return "ok"


def check_migrations() -> str:
    """Say "ok" when no migration is left to apply."""
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
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._checks = checks
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._outcome: dict[str, str] = {}
        self._until = 0.0

    def add(self, name: str, check: Callable[[], str]) -> None:
        """Ask `check` too; it returns "ok" or one line that says what is wrong."""
        self._checks[name] = check

    def checks(self) -> dict[str, str]:
        """Return each dependency's name with "ok" or one line that says what is wrong.

        While another thread waits for a check, what is known of it is that it hangs:
        a second thread says so soon, instead of waiting as well.
        """
        if not self._lock.acquire(timeout=self._patience):
            known = dict(self._outcome)
            return {name: known.get(name, SLOW) for name in self._checks}
        try:
            if time.monotonic() >= self._until:
                self._outcome = {}
                # Each name as it is known: what is missing is still being asked.
                for name, check in self._checks.items():
                    self._outcome[name] = check()
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
