"""Log lines: JSON for machines, one readable line for people.

Whatever is logged while a request is worked on carries that request's identifier.
No line holds a query string, a body or a header's value.
"""

from __future__ import annotations

import fcntl
import logging
import os
from datetime import UTC, datetime
from typing import Any

from mirrorsite.database import is_unavailable
from mirrorsite.printable import json_line, printable
from mirrorsite.request_ids import current_request_id


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes whole lines to the stream's descriptor.

    The standard handler holds its lock while it formats too, so a worker's threads
    queue up. Here it is held for the write only. A write to a pipe is atomic up to
    PIPE_BUF bytes (POSIX); a longer one may be mixed with those of other processes. A
    second lock, on the file, prevents that.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        passed: Any = self.filter(record)
        if not passed:
            return False
        if isinstance(passed, logging.LogRecord):  # since Python 3.12
            record = passed
        try:
            descriptor = self.stream.fileno()
        except (AttributeError, OSError):  # no file: a test's buffer
            super().handle(record)
            return True
        try:
            line = (self.format(record) + "\n").encode("utf-8", "replace")
            self.acquire()
            try:
                _write(descriptor, line)
            finally:
                self.release()
        except Exception:  # noqa: BLE001 as every handler of the standard library
            self.handleError(record)
        return True


def _write(descriptor: int, line: bytes) -> None:
    """Write all of `line`, apart from what other processes write to the file."""
    is_locked = True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
    except OSError:  # a kind of file that has no locks
        is_locked = False
    try:
        written = os.write(descriptor, line)
        while written < len(line):
            written += os.write(descriptor, line[written:])
    finally:
        if is_locked:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)


def _utc(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class NameCause(logging.Filter):
    """Replaces a traceback by the error at its end, for libraries that log both."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and (error := record.exc_info[1]):
            message = record.getMessage().rstrip(".")
            record.msg = f"{message}: {type(error).__name__}: {error}"
            record.args = ()
            record.exc_info = None
        return True


class NoTracebackOfTheDatabase(logging.Filter):
    """Leaves out the traceback where the database is unavailable, which is no bug."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and is_unavailable(record.exc_info[1]):
            record.exc_info = None
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `extra={"fields": {...}}` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _utc(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := current_request_id.get():
            entry["request_id"] = request_id
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json_line(entry)


class TextFormatter(logging.Formatter):
    """Time, level and message; a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        message = printable(record.getMessage())
        line = f"{_utc(record)[11:-1]} {record.levelname:<7} {message}"
        if request_id := current_request_id.get():
            line += f" request_id={request_id}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
