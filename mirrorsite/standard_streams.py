"""Standard output and error of a command line program."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from mirrorsite.errors import ExitStatus, ServiceError


class OutputError(ServiceError):
    """Standard output, standard error or an output file could not be written."""

    exit_status = ExitStatus.OUTPUT_FAILED


class GuardedStream(io.TextIOWrapper):
    """A text stream that raises `OutputError` instead of `OSError`.

    Otherwise a full disk behind standard output looks like any other `OSError` of the
    program, and argparse ignores it. After the first error, output is discarded: at exit,
    the interpreter writes what is still buffered, and would fail again.
    https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """

    def write(self, text: str) -> int:
        with self._output_errors():
            return super().write(text)

    def flush(self) -> None:
        with self._output_errors():
            super().flush()

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _open_null(self.fileno(), os.O_WRONLY)
            reason = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputError(f"the output cannot be written: {reason}") from error


def guard_standard_streams() -> None:
    """Make failing writes raise `OutputError`; escape what cannot be encoded.

    Python sets a stream to None if its descriptor is closed. The descriptor is then opened
    on /dev/null, so that no other file gets its number. Standard output is opened for
    reading, so that writing to it fails (as with gnulib's `stdopen`). Standard error is
    opened for writing, so that messages are dropped. Standard input is opened for
    reading, so that it is empty.
    """
    sys.stdin = sys.stdin or _null_stream(0, os.O_RDONLY, "r")
    sys.stdout = _guard(sys.stdout or _null_stream(1, os.O_RDONLY))
    sys.stderr = _guard(sys.stderr or _null_stream(2, os.O_WRONLY))


def _null_stream(descriptor: int, flags: int, mode: Literal["r", "w"] = "w") -> TextIO:
    _open_null(descriptor, flags)
    return open(descriptor, mode, closefd=False)


def _open_null(descriptor: int, flags: int) -> None:
    """Open /dev/null under this descriptor number.

    A file already open there is closed first.
    """
    null = os.open(os.devnull, flags)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)


def _guard(stream: TextIO) -> GuardedStream:
    if not isinstance(stream, io.TextIOWrapper):
        raise TypeError(f"{stream!r} is not a standard stream")
    # Read first: after `detach` the stream has none of these.
    encoding = stream.encoding
    line_buffering, write_through = stream.line_buffering, stream.write_through
    return GuardedStream(
        stream.detach(),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=line_buffering,
        write_through=write_through,
    )
