"""A pool of threads behind a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

#: How long a call waits for a thread, in seconds.
QUEUE_SECONDS = 10.0
#: Calls that may wait for each thread: about a second of uploads.
QUEUE_PER_THREAD = 32

T = TypeVar("T")


class BusyError(Exception):
    """The queue is full, no thread took the request in time, or too many responses stream."""


class ThreadPool:
    """Runs calls in threads, first in, first out.

    `concurrent.futures` takes 0.02 ms more for a call, a hundredth of an upload.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._max_waiting = threads * QUEUE_PER_THREAD
        for number in range(threads):
            # Daemons: a request that hangs must not keep the process alive.
            threading.Thread(
                target=self._work, name=f"{name}-{number}", daemon=True
            ).start()

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread; raises `BusyError` if none is free in time."""
        if self._jobs.qsize() >= self._max_waiting:
            raise BusyError
        job = _Job(call)
        self._jobs.put(job)
        timer = job.loop.call_later(QUEUE_SECONDS, job.give_up)
        try:
            outcome: T = await job.outcome
            return outcome
        finally:
            timer.cancel()

    def _work(self) -> None:
        while True:
            self._jobs.get().run()


class _Job:
    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        # Acquired once: by the thread that runs the call, or by the timeout.
        self._claim = threading.Lock()
        self.loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[Any] = self.loop.create_future()

    def give_up(self) -> None:
        if self._claim.acquire(blocking=False):
            self._end(None, BusyError())

    def run(self) -> None:
        if not self._claim.acquire(blocking=False):
            return
        result, error = None, None
        try:
            result = self._call()
        except BaseException as raised:  # noqa: BLE001 it is raised in the loop
            error = raised
        with suppress(
            RuntimeError
        ):  # the loop is closed: nothing waits for the outcome
            self.loop.call_soon_threadsafe(self._end, result, error)

    def _end(self, result: object, error: BaseException | None) -> None:
        if self.outcome.done():
            return  # it was cancelled
        if error is None:
            self.outcome.set_result(result)
        else:
            self.outcome.set_exception(error)
