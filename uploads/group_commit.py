"""Writes of several threads, carried out together by one of them. No Django.

A durable commit costs a database about as much for one row as for ten. Who comes while
nobody writes, writes at once and alone. Those who come meanwhile wait; the first of
them then writes for all, so a group is as large as the load makes it, and nobody waits
for a group to fill.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

WriteT = TypeVar("WriteT")


class _Waiting(Generic[WriteT]):
    """One thread's write; its `turn` opens when the write is done or it is to lead."""

    __slots__ = ("error", "is_done", "turn", "write")

    def __init__(self, write: WriteT) -> None:
        self.write = write
        self.is_done = False
        self.error: BaseException | None = None
        self.turn = threading.Lock()
        self.turn.acquire()


class GroupCommit(Generic[WriteT]):
    """Calls `carry_out` with the writes of one group after another, never two at once.

    It is called in the thread of one of the group, and returns for each write, in
    their order, None or the exception that its thread is to raise. What it raises
    itself is raised in that thread alone; the others are told so by `GroupLostError`.
    """

    def __init__(
        self, carry_out: Callable[[Sequence[WriteT]], Sequence[BaseException | None]]
    ) -> None:
        self._carry_out = carry_out
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting[WriteT]] = deque()
        self._leader: _Waiting[WriteT] | None = None

    @property
    def waiting(self) -> int:
        """How many writes wait for the one that is being carried out."""
        return len(self._waiting)

    def submit(self, write: WriteT) -> None:
        """Have a write carried out; returns when it is, or raises what came of it."""
        own = _Waiting(write)
        with self._lock:
            self._waiting.append(own)
            leads = self._leader is None
            if leads:
                self._leader = own
        if not leads:
            try:
                own.turn.acquire()
            except BaseException:
                self._withdraw(own)
                raise
        if not own.is_done:
            self._lead(own)
        if own.error is not None:
            raise own.error

    def _lead(self, own: _Waiting[WriteT]) -> None:
        with self._lock:
            group = list(self._waiting)
            self._waiting.clear()
        errors: Sequence[BaseException | None] = [GroupLostError()] * len(group)
        try:
            errors = self._carry_out([one.write for one in group])
        finally:
            with self._lock:
                self._pass_on()
            for one, error in zip(group, errors, strict=True):
                one.error = error
                one.is_done = True
                if one is not own:
                    one.turn.release()

    def _pass_on(self) -> None:
        self._leader = self._waiting[0] if self._waiting else None
        if self._leader is not None:
            self._leader.turn.release()

    def _withdraw(self, own: _Waiting[WriteT]) -> None:
        """Wait no longer: a signal has ended this thread's patience."""
        with self._lock:
            if own in self._waiting:
                self._waiting.remove(own)
            if self._leader is own:
                self._pass_on()


class GroupLostError(Exception):
    """The thread that wrote for this one was stopped; what it wrote is not known."""
