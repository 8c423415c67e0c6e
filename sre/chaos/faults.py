"""Breaking things, one at a time."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil
import psycopg

from sre.chaos.redirects import redirecting
from sre.lib import processes
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import Postgres
from sre.lib.service import Service

#: Longer than STORE_READ_TIMEOUT_SECONDS, which is 5 unless set.
FROZEN_SECONDS = 6.0
#: Requests that meet a redirect before the store is back.
REDIRECTED = 20


@dataclass
class Faults:
    """Injects faults of every kind, and counts them.

    For the main thread only: on Linux a child ends with the thread that started it.
    """

    service: Service
    store: ObjectStore
    database: Postgres
    chosen: random.Random
    injected: Counter[str] = field(default_factory=Counter)
    #: How long each /api/health took while the store was frozen.
    health_seconds: list[float] = field(default_factory=list)
    _round: list[str] = field(default_factory=list)

    def inject_next(self) -> str:
        """Inject one fault and return its kind; each round has all, in random order."""
        if not self._round:
            self._round = self.chosen.sample(sorted(FAULTS), len(FAULTS))
        kind = self._round.pop()
        FAULTS[kind](self)
        self.injected[kind] += 1
        return kind

    def _kill_workers(self, count: int | None) -> None:
        workers = psutil.Process(self.service.pid).children()
        for worker in self.chosen.sample(workers, len(workers))[:count]:
            with suppress(psutil.NoSuchProcess):
                worker.kill()

    def _restart_store(self) -> None:
        self.store.stop()
        self.store.start()

    def _crash_store(self) -> None:
        self.store.kill()
        self.store.start()

    def _freeze_store(self) -> None:
        """Suspend the store: it still accepts connections but answers none.

        Ask /api/health meanwhile. The freeze lasts longer than the timeout of one
        request, so that some outcomes stay unknown.
        """
        assert self.store.process is not None  # noqa: S101 it was started
        frozen = psutil.Process(self.store.process.pid)
        frozen.suspend()
        try:
            until = time.monotonic() + FROZEN_SECONDS
            while time.monotonic() < until:
                self.health_seconds.append(self.service.health_seconds())
                time.sleep(0.2)
        finally:
            frozen.resume()

    def _redirect_from_store(self) -> None:
        """Answer 307 to every request on the store's port: to itself, or elsewhere."""
        self.store.stop()
        target = self.chosen.choice([self.store.port, free_port()])
        with redirecting(self.store.port, f"http://127.0.0.1:{target}") as requests:
            processes.wait_until(lambda: len(requests) >= REDIRECTED, seconds=30)
        self.store.start()

    def _restart_database(self) -> None:
        self.database.stop()
        self.service.health_seconds()
        self.database.start()

    def _terminate_connections(self) -> None:
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


FAULTS: dict[str, Callable[[Faults], None]] = {
    "worker killed (SIGKILL)": lambda faults: faults._kill_workers(1),
    "all workers killed (SIGKILL)": lambda faults: faults._kill_workers(None),
    "store stopped and started": Faults._restart_store,
    "store killed (SIGKILL) and started": Faults._crash_store,
    "store frozen (SIGSTOP) for a while": Faults._freeze_store,
    "store redirects (307) for a while": Faults._redirect_from_store,
    "database connections terminated": Faults._terminate_connections,
    "database stopped and started": Faults._restart_database,
}
