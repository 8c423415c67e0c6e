"""How many requests may wait for the object store at the same time.

A store that stops answering holds each request that asks it until the timeouts end.
Were every thread allowed to, none would be left for what needs no store, the liveness
probe above all, and the platform would kill a service that is well. No Django here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from uploads.exceptions import StoreBusyError

#: How long a request waits for a slot while none is given back, in seconds. Under
#: load slots change hands all the time; when none has for so long, the store hangs.
PATIENCE_SECONDS = 1.0


class StoreSlots:
    """`count` places; who finds none within the patience is told so."""

    def __init__(self, count: int, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._free = count
        self._patience = patience_seconds
        self._changed = threading.Condition()
        self._moved_at = time.monotonic()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place; raises `StoreBusyError` when all are taken and none moves."""
        self._take()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._moved_at = time.monotonic()
                self._changed.notify()

    def _take(self) -> None:
        with self._changed:
            while not self._free:
                left = self._moved_at + self._patience - time.monotonic()
                if left <= 0:
                    raise StoreBusyError("too many requests wait for the object store")
                self._changed.wait(left)
            self._free -= 1
            self._moved_at = time.monotonic()
