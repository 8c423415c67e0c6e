"""Breaking things, one at a time."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import psycopg

from sre.lib import processes
from sre.lib.hammering.redirects import redirecting
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import Postgres
from sre.lib.service import Service

WORKER_KILLED = "worker killed (SIGKILL)"
ALL_WORKERS_KILLED = "all workers killed (SIGKILL)"
STORE_STOPPED = "store stopped and started"
STORE_KILLED = "store killed (SIGKILL) and started"
STORE_FROZEN = "store frozen (SIGSTOP) for a while"
STORE_REDIRECTS = "store redirects (307) for a while"
CONNECTIONS_TERMINATED = "database connections terminated"
DATABASE_STOPPED = "database stopped and started"
#: Longer than STORE_READ_TIMEOUT_SECONDS, which is 5 unless set.
FROZEN_SECONDS = 6.0
REDIRECTING_SECONDS = 3.0
DATABASE_DOWN_SECONDS = 1.0


@dataclass
class Faults:
    """Injects faults of every kind, and counts them.

    To be used by the main thread: on Linux a child ends with the thread that started
    it.
    """

    service: Service
    store: ObjectStore
    database: Postgres
    seed: int
    injected: Counter[str] = field(default_factory=Counter)
    #: How long each /api/health took while the store was frozen.
    health_seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._choose = random.Random(self.seed)  # noqa: S311
        self._kinds: dict[str, Callable[[], bool]] = {
            WORKER_KILLED: lambda: self._kill_workers(1),
            ALL_WORKERS_KILLED: lambda: self._kill_workers(None),
            STORE_STOPPED: self._restart_store,
            STORE_KILLED: self._crash_store,
            STORE_FROZEN: self._freeze_store,
            STORE_REDIRECTS: self._redirect_from_store,
            CONNECTIONS_TERMINATED: self._terminate_connections,
            DATABASE_STOPPED: self._restart_database,
        }
        self._round: list[str] = []

    def inject_next(self) -> None:
        """Inject one fault; each round has every kind once, in random order."""
        if not self._round:
            self._round = self._choose.sample(sorted(self._kinds), len(self._kinds))
        kind = self._round.pop()
        if self._kinds[kind]():
            self.injected[kind] += 1

    def pause_seconds(self) -> float:
        """Return how long things may go well before the next fault."""
        return self._choose.uniform(0.1, 1.0)

    def _kill_workers(self, count: int | None) -> bool:
        if self.service.process is None:
            return False
        workers = psutil.Process(self.service.process.pid).children()
        chosen = (
            workers if count is None else self._choose.sample(workers, len(workers))
        )
        killed = 0
        for worker in chosen[:count]:
            try:
                worker.kill()
            except psutil.NoSuchProcess:
                continue
            killed += 1
        return killed > 0

    def _restart_store(self) -> bool:
        self.store.stop()
        self.store.start()
        return True

    def _crash_store(self) -> bool:
        self.store.kill()
        self.store.start()
        return True

    def _freeze_store(self) -> bool:
        """Let the store accept and answer nothing, while /api/health is asked.

        Beyond the timeout of one request, so that some outcomes stay unknown.
        """
        if self.store.process is None:
            return False
        frozen = psutil.Process(self.store.process.pid)
        frozen.suspend()
        try:
            until = time.monotonic() + FROZEN_SECONDS
            while time.monotonic() < until:
                self.health_seconds.append(self.service.health_seconds())
                time.sleep(0.2)
        finally:
            frozen.resume()
        return True

    def _redirect_from_store(self) -> bool:
        """Answer 307 to every request on the store's port: to itself, or elsewhere."""
        self.store.stop()
        target = self._choose.choice([self.store.port, free_port()])
        with redirecting(self.store.port, f"http://127.0.0.1:{target}") as requests:
            processes.wait_until(
                lambda: bool(requests), seconds=10, process=self.service.process
            )
            time.sleep(REDIRECTING_SECONDS)
        self.store.start()
        return bool(requests)

    def _restart_database(self) -> bool:
        self.database.stop()
        time.sleep(DATABASE_DOWN_SECONDS)
        self.database.start()
        return True

    def _terminate_connections(self) -> bool:
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        return bool(row and row[0])
