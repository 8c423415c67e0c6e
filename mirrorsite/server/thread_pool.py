"""A bounded pool of threads with a bounded first-in, first-out queue."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)

#: Jobs that may wait for each thread: about a second of uploads.
QUEUE_PER_THREAD = 32


class QueueFullError(RuntimeError):
    """The queue is full."""


class ThreadPool:
    """Runs jobs first in, first out; a job reports its own outcome."""

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._max_waiting = threads * QUEUE_PER_THREAD
        for number in range(threads):
            # Daemons: a request that never ends does not keep the process from ending.
            threading.Thread(
                target=self._work, name=f"{name}-{number}", daemon=True
            ).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job; raises `QueueFullError`."""
        if self._jobs.qsize() >= self._max_waiting:
            raise QueueFullError
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:
                # For example, its event loop is closed: the thread goes on.
                logger.exception("a job failed")
