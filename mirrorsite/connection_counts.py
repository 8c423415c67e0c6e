"""How many connections each worker process holds, in memory that they share.

No Django here.
"""

from __future__ import annotations

import mmap

#: Workers are numbered as they start, so after this many restarts places come round.
PLACES = 256
_WIDTH = 4
_FREE = 0


class ConnectionCounts:
    """One count for each worker; made before the workers are forked.

    A count is written by its worker alone, and read by the others without a lock: what
    they decide by it may be late, not wrong.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, PLACES * _WIDTH)
        self._counts = memoryview(self._shared).cast("I")

    def hold(self, worker: int, connections: int) -> None:
        """Say how many connections the worker of this number holds."""
        self._counts[worker % PLACES] = connections + 1

    def free(self, worker: int) -> None:
        """Forget a worker that has ended."""
        self._counts[worker % PLACES] = _FREE

    def least(self, *, beside: int) -> int | None:
        """Return the fewest that another worker holds; None when there is no other."""
        others = [
            count - 1
            for place, count in enumerate(self._counts)
            if count != _FREE and place != beside % PLACES
        ]
        return min(others, default=None)
