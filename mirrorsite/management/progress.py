"""The progress of a command: one line on a terminal, nothing in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from django.core.management.base import OutputWrapper

T = TypeVar("T")

_WIDTH = 24
_SECONDS_BETWEEN = 0.1


class Progress:
    """Counts, and redraws one line of `stream` at most ten times a second."""

    def __init__(
        self,
        stream: OutputWrapper,
        *,
        what: str,
        total: Callable[[], int] | None = None,
    ) -> None:
        self.count = 0
        self._stream = stream
        self._what = what
        self._visible = stream.isatty()
        self._total = total() if total and self._visible else 0
        self._began = time.monotonic()
        self._drawn = 0.0

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, counting each."""
        for item in items:
            self.show(self.count + 1)
            yield item

    def show(self, count: int) -> None:
        self.count = count
        now = time.monotonic()
        if self._visible and now - self._drawn >= _SECONDS_BETWEEN:
            self._drawn = now
            self._stream.write(f"\r\033[K{self._line(now)}", style_func=str, ending="")
            self._stream.flush()

    def clear(self) -> None:
        """Remove the line, so that something else can be written there."""
        if self._visible and self._drawn:
            self._stream.write("\r\033[K", style_func=str, ending="")
            self._stream.flush()

    def _line(self, now: float) -> str:
        rate = self.count / max(now - self._began, 0.001)
        text = f"{self.count:,} {self._what}, {rate:,.0f} a second"
        if not self._total:
            return text
        done = min(self.count / self._total, 1.0)
        bar = "#" * int(done * _WIDTH)
        return f"[{bar:<{_WIDTH}}] {done:4.0%} {text}"
