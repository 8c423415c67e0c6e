"""The streams of a command, whose own errors are told from everything else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from django.core.management.base import OutputWrapper


class OutputError(Exception):
    """An output took no more; `cause` is what the system said of it."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class GuardedOutput(OutputWrapper):
    """Django's wrapper of a stream, which raises `OutputError` for its `OSError`s."""

    @classmethod
    def over(cls, wrapper: OutputWrapper) -> GuardedOutput:
        """Return one that writes where `wrapper` does, in the same style."""
        guarded = cls(cast(TextIO, wrapper._out), wrapper.ending)
        guarded.style_func = wrapper.style_func
        return guarded

    def write(  # type: ignore[override]  # as Django's own, whose stubs call it a file
        self,
        msg: str = "",
        style_func: Callable[[str], str] | None = None,
        ending: str | None = None,
    ) -> None:
        with _told_apart():
            super().write(msg, style_func, ending)

    def flush(self) -> None:
        with _told_apart():
            super().flush()


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(error) from error
