"""How many connections each worker has, in memory that the workers share."""

from __future__ import annotations

import mmap
from time import monotonic

#: Workers that may report at once.
_PLACES = 64
#: A worker that has not reported for this long hangs, or has ended.
FRESH_SECONDS = 2.0


class ConnectionCounts:
    """Shared by a process and those that it forks afterwards."""

    def __init__(self) -> None:
        memory = memoryview(mmap.mmap(-1, _PLACES * 16)).cast("d")
        self._counts, self._reported_at = memory[:_PLACES], memory[_PLACES:]

    def report(self, worker: int, count: int) -> None:
        """Let the others know how many connections a worker has."""
        self._counts[worker % _PLACES] = count
        self._reported_at[worker % _PLACES] = monotonic()

    def least(self) -> float:
        """Return the count of the worker that has fewest."""
        since = monotonic() - FRESH_SECONDS
        reports = zip(self._counts, self._reported_at, strict=True)
        return min((count for count, at in reports if at > since), default=0)
