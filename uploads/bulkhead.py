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
    """Admits up to `permits` requests at once, up to `permits_per_client` from one client.

    Waiting requests are admitted first in, first out. One whose client is at its limit
    does not delay those behind it.
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
        self._changed = threading.Condition()
        self._held: Counter[str] = Counter()
        #: The client of each waiting request, in order of arrival.
        self._queue: dict[object, str] = {}
        self._progress_at = time.monotonic()

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a permit."""
        return len(self._queue)

    @contextmanager
    def permit(self, client: str) -> Iterator[None]:
        """Hold a permit for `client`.

        Raises `StoreBusyError` when none becomes free in time, or none is free and the
        store hangs.
        """
        request = object()
        deadline = time.monotonic() + self._max_wait
        with self._changed:
            self._queue[request] = client
            try:
                while not self._is_next(request):
                    until = min(deadline, self._progress_at + self._stall)
                    if time.monotonic() >= until:
                        raise StoreBusyError("too many requests use the object store")
                    self._changed.wait(until - time.monotonic())
                self._free_permits -= 1
                self._held[client] += 1
                # Else the store would count as hung when it has not been used for a while.
                self._progress_at = time.monotonic()
            finally:
                del self._queue[request]
                self._changed.notify_all()  # another one may be next
        store_answered = True
        try:
            yield
        except BaseException as error:
            # The service raises errors of its own from those of the store.
            causes = (error, error.__cause__)
            store_answered = not any(
                isinstance(cause, StoreUnavailableError) for cause in causes
            )
            raise
        finally:
            with self._changed:
                if store_answered:
                    self._progress_at = time.monotonic()
                self._free_permits += 1
                # Subtraction also removes a client whose count is 0.
                self._held -= Counter([client])
                self._changed.notify_all()

    def report_progress(self) -> None:
        """Report that a request with a permit made progress: the store does not hang."""
        self._progress_at = time.monotonic()

    def _is_next(self, request: object) -> bool:
        """Return True if the first permit that is free is for this request."""
        if not self._free_permits:
            return False
        for waiting, client in self._queue.items():
            if self._held[client] < self._per_client:
                return waiting is request
        return False


@cache
def store_bulkhead() -> Bulkhead:
    """Return the bulkhead of this process."""
    permits = max(1, settings.WEB_THREADS - RESERVED_THREADS)
    kept_for_others = max(1, permits // 4)
    return Bulkhead(permits, permits_per_client=max(1, permits - kept_for_others))
