"""Checks of what the service depends on, cached for a few seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.migrations.executor import MigrationExecutor

logger = logging.getLogger(__name__)

#: Requests within this time share one result.
CACHE_SECONDS = 3.0
#: How long a request for /api/ready or the home page waits for the checks.
WAIT_SECONDS = 2.0
SLOW = "unavailable: no answer yet"
FAILED = "unavailable: the check failed; the log has the error"
DATABASE_UNAVAILABLE = "unavailable: the database does not answer"


def check_database() -> str:
    """Return "ok", or why the database cannot be used."""
    try:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            (is_read_only,) = cursor.fetchone()
    except Error as error:
        logger.warning("readiness: database unavailable: %s", error)
        return DATABASE_UNAVAILABLE
    if is_read_only == "on":  # such as a standby
        return "unavailable: the database is read-only"
    return "ok"


def check_migrations() -> str:
    """Return "ok", or why the schema is not known to be current."""
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    unapplied = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if unapplied:
        return f"unavailable: unapplied migrations: {len(unapplied)}"
    return "ok"


class Readiness:
    """Runs the checks in threads and caches their outcome.

    Checks that need the database share a thread; each other check has its own.
    """

    def __init__(
        self,
        checks: dict[str, Callable[[], str]],
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._checks = checks
        self._database_checks = {"database", "migrations"}
        self._wait = wait_seconds
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._outcome: dict[str, str] = {}
        #: Until this time (monotonic) the outcome is used again.
        self._until = 0.0

    def add(
        self, name: str, check: Callable[[], str], *, needs_database: bool = False
    ) -> None:
        """Add a check, which returns "ok" or one line about what is wrong."""
        self._checks[name] = check
        if needs_database:
            self._database_checks.add(name)

    def checks(self) -> dict[str, str]:
        """Return each dependency's name with "ok" or one line about what is wrong.

        A check that takes longer than `wait_seconds` is reported as unavailable.
        """
        with self._lock:
            is_running = any(thread.is_alive() for thread in self._threads)
            if not is_running and time.monotonic() >= self._until:
                self._start_checks()
            threads, outcome = self._threads, self._outcome
        deadline = time.monotonic() + self._wait
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return {name: outcome.get(name, SLOW) for name in self._checks}

    def _start_checks(self) -> None:
        """Start the checks in threads; the caller holds `_lock`."""
        in_database = [n for n in self._checks if n in self._database_checks]
        others = [n for n in self._checks if n not in self._database_checks]
        outcome: dict[str, str] = {}
        threads = [
            threading.Thread(
                target=self._run, args=(names, outcome), name="readiness", daemon=True
            )
            for names in (in_database, *([name] for name in others))
        ]
        for thread in threads:
            thread.start()
        self._threads, self._outcome = threads, outcome

    def _run(self, names: list[str], outcome: dict[str, str]) -> None:
        for name in names:
            # `database` comes first. When it fails, the other checks that need the
            # database would only wait for a timeout: they get its outcome.
            database = outcome.get("database", "ok")
            lacks_database = name in self._database_checks and database != "ok"
            try:
                outcome[name] = database if lacks_database else self._checks[name]()
            except Exception:
                logger.exception("readiness: the check %s failed", name)
                outcome[name] = FAILED
        connections.close_all()
        self._until = time.monotonic() + CACHE_SECONDS

    def forget(self) -> None:
        """Make the next call run the checks again."""
        with self._lock:
            self._until = 0.0


#: Apps add their checks in `AppConfig.ready`.
readiness = Readiness(
    {
        "database": check_database,
        "migrations": check_migrations,
    }
)
