"""A limit on the requests of this process that may use the object store at once.

A store that stops answering blocks each thread that waits for it until the timeout. The
bulkhead reserves some threads for requests that do not use the store, and keeps any one
client from taking every permit. No Django models here.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings

from uploads.exceptions import StoreBusyError, StoreUnavailableError

#: Threads reserved for requests that do not use the store.
RESERVED_THREADS = 2
#: How long a request waits for a permit while the requests that hold one make progress.
MAX_WAIT_SECONDS = 5.0
#: The store counts as hung when no request has made progress for this long.
STALL_SECONDS = 1.5


class Bulkhead:
    """Admits `permits` requests at once, `permits_per_client` of them from one client.

    Requests wait first in, first out. One whose client is at its limit does not delay
    those behind it.
    """

    def __init__(
        self,
        permits: int,
        permits_per_client: int,
        *,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._free_permits = permits
        self._per_client = permits_per_client
        self._max_wait = max_wait_seconds
        self._stall = stall_seconds
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._progress_at = time.monotonic()

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a permit."""
        return len(self._waiting)

    @contextmanager
    def permit(self, client: str) -> Iterator[None]:
        """Hold a permit for `client`.

        Raises `StoreBusyError` when none becomes free in time, or none is free and the
        store hangs.
        """
        self._acquire(client)
        is_answered = True
        try:
            yield
        except BaseException as error:
            causes = (error, error.__cause__)
            is_answered = not any(isinstance(e, StoreUnavailableError) for e in causes)
            raise
        finally:
            self._release(client, is_progress=is_answered)

    def report_progress(self) -> None:
        """Note that a request with a permit made progress, so the store is not hung."""
        self._progress_at = time.monotonic()

    def _acquire(self, client: str) -> None:
        with self._lock:
            if self._try_acquire(client):
                return
            waiter = _Waiter(client)
            self._waiting.append(waiter)
        deadline = time.monotonic() + self._max_wait
        while not waiter.is_admitted.wait(self._seconds_left(deadline)):
            if self._seconds_left(deadline) > 0:
                continue  # a request that holds a permit has made progress
            with self._lock:
                if waiter.is_admitted.is_set():
                    return
                self._waiting.remove(waiter)
                raise StoreBusyError("too many requests use the object store")

    def _seconds_left(self, deadline: float) -> float:
        now = time.monotonic()
        return max(0.0, min(deadline, self._progress_at + self._stall) - now)

    def _try_acquire(self, client: str) -> bool:
        """Take a permit for `client` if one is free for it; the caller holds `_lock`."""
        if not self._free_permits or self._held[client] >= self._per_client:
            return False
        self._free_permits -= 1
        self._held[client] += 1
        self._progress_at = time.monotonic()
        return True

    def _release(self, client: str, *, is_progress: bool) -> None:
        with self._lock:
            if is_progress:
                self._progress_at = time.monotonic()
            self._free_permits += 1
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]
            for waiter in self._waiting:
                if self._try_acquire(waiter.client):
                    self._waiting.remove(waiter)
                    waiter.is_admitted.set()
                    return


class _Waiter:
    """A request that waits for a permit."""

    __slots__ = ("client", "is_admitted")

    def __init__(self, client: str) -> None:
        self.client = client
        self.is_admitted = threading.Event()


@cache
def store_bulkhead() -> Bulkhead:
    """Return the bulkhead of this process."""
    permits = max(1, settings.WEB_THREADS - RESERVED_THREADS)
    kept_for_others = max(1, permits // 4)
    return Bulkhead(permits, permits_per_client=max(1, permits - kept_for_others))
