"""A pool of threads behind a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

#: How long a call waits for a thread, in seconds.
QUEUE_SECONDS = 10.0
#: Calls that may wait for each thread: about a second of uploads.
QUEUE_PER_THREAD = 32

T = TypeVar("T")


class BusyError(Exception):
    """The queue is full, no thread took the request in time, or too many stream."""


class BoundedPool:
    """Runs calls in threads, first in, first out."""

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free_places = threads * (1 + QUEUE_PER_THREAD)

    async def run(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread; raises `BusyError` if none is free in time."""
        if not self._free_places:
            raise BusyError
        self._free_places -= 1
        future = self._executor.submit(call)
        # A call that a thread has begun cannot be cancelled.
        timer = asyncio.get_running_loop().call_later(QUEUE_SECONDS, future.cancel)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if future.cancelled():
                raise BusyError from None
            raise
        finally:
            timer.cancel()
            self._free_places += 1
