"""Log lines: JSON for machines, one readable line for people.

Whatever is logged while a request is worked on carries that request's identifier.
No line holds a query string, a body or a header's value.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from typing import Any

from mirrorsite.request_ids import current_request_id

#: json.dumps would make one for each line.
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes each line with one system call, to whatever the stream's file is now.

    The standard handler formats and writes under a lock, for which the threads of a
    worker queue up. The kernel keeps the lines of threads and processes apart.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        passed: Any = self.filter(record)
        if not passed:
            return False
        if isinstance(passed, logging.LogRecord):  # since Python 3.12
            record = passed
        try:
            number = self.stream.fileno()
        except (AttributeError, OSError):  # no file: a test's buffer
            super().handle(record)
            return True
        try:
            line = memoryview((self.format(record) + "\n").encode("utf-8", "replace"))
            while line:
                line = line[os.write(number, line) :]
        except Exception:  # noqa: BLE001 as every handler of the standard library
            self.handleError(record)
        return True


def _utc(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        return _encode(entry)


class TextFormatter(logging.Formatter):
    """Time, level and message; a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_utc(record)[11:-1]} {record.levelname:<7} {record.getMessage()}"
        if request_id := current_request_id.get():
            line += f" request_id={request_id}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
