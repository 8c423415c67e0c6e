"""Log lines: JSON for machines, one readable line for people.

Whatever is logged while a request is worked on carries that request's identifier.
No line holds a query string, a body or a header's value.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from mirrorsite.request_ids import current_request_id


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
        return json.dumps(entry, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Time, level and message; a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_utc(record)[11:-1]} {record.levelname:<7} {record.getMessage()}"
        if request_id := current_request_id.get():
            line += f" request_id={request_id}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
