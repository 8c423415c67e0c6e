"""Log lines: JSON for machines, one readable line for people.

Every line logged during a request carries the request's id. No line holds a query
string, a body or a header's value, and text from outside (keys, names, error messages)
is escaped.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import json
import logging
import os
import random
import re
import time
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from django.conf import settings

from mirrorsite.database import is_unavailable

# --- Text from outside -----------------------------------------------------------

#: json.dumps would build an encoder for each line.
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def printable(text: str) -> str:
    r"""Escape characters that would break the line, control a terminal or reorder text.

    Characters that are not printable, such as line feeds, control characters, format
    characters and lone surrogates, become escapes: `\n`, `\x1b`, `\u202e`, `\udc80`.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def json_line(value: Any) -> str:
    """Return `value` as one line of JSON, with all unprintable characters escaped."""
    line = _encode(value)
    if line.isprintable():
        return line
    # [1:-1] drops the quotes.
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


#: Paths that `quoted_path` returns as they are. A cache would cost memory: a client could
#: fill it with long paths.
_QUOTED_PATH = re.compile(rb"[A-Za-z0-9/:@!$&'()*+,;=~._-]*")


def quoted_path(raw_path: bytes) -> str:
    """Return a request's path as a URI reference (RFC 3986), never encoded twice.

    It is one line of ASCII, so a client cannot put a line break into the log.
    """
    if _QUOTED_PATH.fullmatch(raw_path):
        return raw_path.decode("ascii")
    return quote(unquote_to_bytes(raw_path), safe="/:@!$&'()*+,;=~-._")


# --- Request ids -----------------------------------------------------------------

#: What a client's X-Request-ID may look like: 1 to 128 characters that are safe in
#: a log line, a header and an object's metadata.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._~+/=:-]{1,128}")
#: Group: the trace id. Ids of all zeros are invalid, and version ff is. A value of version
#: 00 has 55 characters, not more. https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})"
    r"-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)

#: Ids must be unique, but may be guessable: a generator that is seeded once per process
#: saves a system call for each id.
_random = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)

#: The id of the request that this thread handles, or has handled last.
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")


def is_request_id(text: str) -> bool:
    """Return True if `text` is accepted as a request id."""
    return _WELL_FORMED.fullmatch(text) is not None


def request_id_from(offered: str, traceparent: str = "") -> str:
    """Return the id of a request.

    It is the client's own X-Request-ID if well-formed; else the trace id of a valid W3C
    `traceparent`, so that a trace leads to its log lines; else a new one.
    """
    if offered and is_request_id(offered):
        return offered
    if traceparent and (match := _TRACEPARENT.fullmatch(traceparent)):
        return match[1]
    return f"{_random.getrandbits(128):032x}"


# --- The client's address --------------------------------------------------------

#: An address with a port, as some proxies write it; IPv6 in brackets.
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str | None:
    """Return the address of the client, or None if it is unknown.

    Each trusted proxy appends the address of its peer to X-Forwarded-For, so with n
    proxies the client is the n-th entry from the right. Entries further left come from
    the client and are ignored. With fewer than n entries the request has bypassed a
    proxy, and any entry may be the client's own: then the peer's address is returned.

    The zone of an IPv6 address is dropped: it has a meaning on one machine only.
    """
    address = peer
    if trusted_proxies:
        hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
        if len(hops) >= trusted_proxies:
            address = hops[-trusted_proxies]
    # A longer text is not an address, and would fill the memory through the cache.
    return _parsed_address(address) if len(address) <= 100 else None


# Called twice for each request: for its record and for the log.
@lru_cache(maxsize=4096)
def _parsed_address(address: str) -> str | None:
    if match := _WITH_PORT.fullmatch(address):
        address = match[1] or match[2] or ""
    try:
        return str(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return None


# --- The access log --------------------------------------------------------------

_access = logging.getLogger("gunicorn.access")


def log_access(
    *,
    method: str,
    raw_path: bytes,
    route: str,
    status: int,
    seconds: float,
    size: int,
    request_id: str,
    peer: tuple[str, int] | None,
    forwarded_for: str,
) -> None:
    """Log one request; `size` is the length of the answer's body in bytes.

    The query is left out: it may hold personal data.
    """
    milliseconds = round(seconds * 1000, 3)
    path = quoted_path(raw_path)
    fields = {
        "method": method,
        "path": path,
        "route": route,
        "status": status,
        "duration_ms": milliseconds,
        "bytes": size,
        "request_id": request_id,
        "client": client_address(
            peer[0] if peer else "", forwarded_for, settings.TRUSTED_PROXIES
        ),
    }
    # `logger.info` would look up the calling function for each line.
    _access.handle(
        _access.makeRecord(
            _access.name,
            logging.INFO,
            "",
            0,
            "%s %s %s %.1f ms %s",
            (method, path, status, milliseconds, request_id),
            None,
            extra={"fields": fields},
        )
    )


# --- Handler, filters and formatters ---------------------------------------------

# No formatter uses these, and collecting them takes a tenth of the time of a line:
# https://docs.python.org/3/howto/logging.html#optimization
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Locks the stream's file, so that lines of several processes are not mixed.

    A write to a pipe is atomic up to PIPE_BUF bytes only (POSIX). Lines of the event loop
    wait for its next iteration, so that those of several requests are written at once:
    a lock and a write for each would take an eighth of a small request's processor time.
    """

    def __init__(self, stream: Any = None) -> None:
        super().__init__(stream)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record) + self.terminator)
        except Exception:  # noqa: BLE001 as in every handler of logging
            self.handleError(record)
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # not in the event loop's thread
            self._write(record)
        else:
            if len(self._lines) == 1:
                loop.call_soon(self._write, record)

    def _write(self, record: logging.LogRecord) -> None:
        try:
            self.flush()
        except Exception:  # noqa: BLE001 as in every handler of logging
            self.handleError(record)

    def flush(self) -> None:
        with self.lock:  # type: ignore[union-attr]
            text, self._lines = "".join(self._lines), []
            if not text:
                return
            with suppress(OSError, ValueError):  # not every kind of file can be locked
                fcntl.lockf(self.stream, fcntl.LOCK_EX)
            try:
                self.stream.write(text)
                self.stream.flush()
            finally:
                with suppress(OSError, ValueError):
                    fcntl.lockf(self.stream, fcntl.LOCK_UN)


class ReplaceTraceback(logging.Filter):
    """Replaces a traceback with the error's type and message."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and (error := record.exc_info[1]):
            message = record.getMessage().rstrip(".")
            record.msg = f"{message}: {type(error).__name__}: {error}"
            record.args = ()
            record.exc_info = None
        return True


class DropDatabaseTraceback(logging.Filter):
    """Drops the traceback when the database is unavailable: that is not a bug."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and is_unavailable(record.exc_info[1]):
            record.exc_info = None
        return True


# Without the cache, this would take a fifth of the time of formatting a line.
@lru_cache(maxsize=4)
def _utc_text(second: int, form: str) -> str:
    return time.strftime(form, time.gmtime(second))


class UTCFormatter(logging.Formatter):
    """Times in UTC (RFC 3339), to the millisecond."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatTime(  # noqa: N802 the name in logging
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        second = _utc_text(int(record.created), self.default_time_format)
        return self.default_msec_format % (second, record.msecs)


class JsonFormatter(UTCFormatter):
    """One JSON object per line; `extra={"fields": {...}}` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": self.formatTime(record),
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


class TextFormatter(UTCFormatter):
    """Time, level and message; a traceback below it."""

    default_time_format = "%H:%M:%S"
    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        message = printable(record.getMessage())
        line = f"{self.formatTime(record)} {record.levelname:<7} {message}"
        if request_id := current_request_id.get():
            line += f" request_id={request_id}"
        if record.exc_info:
            for traceback_line in self.formatException(record.exc_info).split("\n"):
                line += f"\n{printable(traceback_line)}"
        return line
