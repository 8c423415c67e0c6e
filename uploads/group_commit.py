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

    __slots__ = ("error", "is_done", "is_lost", "turn", "write")

    def __init__(self, write: WriteT) -> None:
        self.write = write
        self.is_done = False
        self.is_lost = False
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
        self,
        carry_out: Callable[[Sequence[WriteT]], Sequence[BaseException | None]],
        *,
        patience_seconds: float = 10,
    ) -> None:
        self._carry_out = carry_out
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting[WriteT]] = deque()
        self._leader: _Waiting[WriteT] | None = None

    @property
    def waiting(self) -> int:
        """How many writes wait for the one that is being carried out."""
        return len(self._waiting)

    def submit(self, write: WriteT) -> None:
        """Have a write carried out; returns when it is, or raises what came of it.

        Raises `GroupBusyError` when the group before takes longer than the patience.
        """
        own = _Waiting(write)
        # Whatever ends this thread's part, a signal or want of memory, somebody leads.
        try:
            with self._lock:
                self._waiting.append(own)
                leads = self._leader is None
                if leads:
                    self._leader = own
            if not leads:
                self._wait(own)
            if not own.is_done:
                self._lead(own)
        except BaseException:
            self._withdraw(own)
            raise
        if own.is_lost:
            raise GroupLostError
        if own.error is not None:
            raise own.error

    def _wait(self, own: _Waiting[WriteT]) -> None:
        if own.turn.acquire(timeout=self._patience):
            return
        with self._lock:
            if own in self._waiting and self._leader is not own:
                raise GroupBusyError
        # It is being written: what comes of it is to be known.
        own.turn.acquire()

    def _lead(self, own: _Waiting[WriteT]) -> None:
        group: list[_Waiting[WriteT]] = []
        errors: Sequence[BaseException | None] | None = None
        try:
            with self._lock:
                group = list(self._waiting)
                self._waiting.clear()
            errors = self._carry_out([one.write for one in group])
        finally:
            self._withdraw(own)
            for index, one in enumerate(group):
                if errors is None:
                    one.is_lost = True
                else:
                    one.error = errors[index]
                one.is_done = True
                if one is not own:
                    one.turn.release()

    def _withdraw(self, own: _Waiting[WriteT]) -> None:
        """Wait no longer, nor lead: the first of those who wait does."""
        with self._lock:
            if own in self._waiting:
                self._waiting.remove(own)
            if self._leader is own:
                self._leader = self._waiting[0] if self._waiting else None
                if self._leader is not None:
                    self._leader.turn.release()


class GroupLostError(Exception):
    """The thread that wrote for this one was stopped; what it wrote is not known."""


class GroupBusyError(Exception):
    """The group before took too long; nothing of this one was written."""
