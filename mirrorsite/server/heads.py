"""What is wrong with a request: rules that the parser does not check (RFC 9112)."""

from __future__ import annotations

import logging
import re

import httptools

from mirrorsite.server.responses import Fields

logger = logging.getLogger("gunicorn.error")

#: A word of 2,000 characters is up to 24,000 bytes when percent-encoded.
MAX_TARGET_BYTES = 25 * 1024
MAX_FIELDS = 64
MAX_FIELD_BYTES = 8190
#: Request bodies are small JSON objects; a larger one is a mistake or an attack.
MAX_BODY_BYTES = 16 * 1024

#: A target in absolute form; groups: its authority, and its path and query.
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@]+)((?:[/?#].*)?)")
#: Fields that must not be repeated.
_SINGLE = (b"host", b"content-type")
#: The start of a request line with a method that the parser does not support.
_UNKNOWN_METHOD = re.compile(rb"\s*[A-Z][A-Z-]{2,19} [!-~]")
_UNUSUAL = {b"transfer-encoding", b"expect"}


class RefusedError(Exception):
    """The request breaks a rule or a limit; `slug` is the type of the problem."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug


def check_head(version: str, target: bytes, headers: Fields) -> dict[bytes, bytes]:
    """Return the fields by name; raises `RefusedError` for an invalid or large head.

    Names are in lower case. The parser has already refused malformed fields, a repeated
    Content-Length, and one beside a Transfer-Encoding.
    """
    if version not in {"1.0", "1.1"}:
        raise RefusedError("malformed-http")
    if len(target) > MAX_TARGET_BYTES:
        raise RefusedError("request-line-too-long")
    if len(headers) > MAX_FIELDS:
        raise RefusedError("headers-too-large")
    for name, value in headers:
        if len(name) + len(value) > MAX_FIELD_BYTES:
            raise RefusedError("headers-too-large")
    fields = dict(headers)
    if version == "1.1" and b"host" not in fields:
        raise RefusedError("malformed-http")  # section 3.2
    if len(fields) < len(headers) or not _UNUSUAL.isdisjoint(fields):
        _check_unusual(version, headers)
    if int(fields.get(b"content-length", b"0")) > MAX_BODY_BYTES:
        raise RefusedError("body-too-large")
    return fields


def _check_unusual(version: str, headers: Fields) -> None:
    """Check repeated fields, transfer codings and expectations."""
    names = [name for name, _ in headers]
    if any(names.count(name) > 1 for name in _SINGLE):
        raise RefusedError("malformed-http")
    for name, value in headers:
        if name == b"transfer-encoding" and version == "1.0":
            raise RefusedError("malformed-http")  # section 6.1
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise RefusedError("transfer-coding-not-implemented")
        if name == b"expect" and value.lower() != b"100-continue":
            raise RefusedError("expectation-failed")


def to_origin_form(target: bytes, headers: Fields) -> tuple[bytes, Fields]:
    """Return the path and query of an absolute target, and the headers with its host.

    The target's host replaces that of the Host field (section 3.2.2).
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise RefusedError("malformed-http")
    host, rest = match.groups()
    path = rest if rest.startswith(b"/") else b"/" + rest
    return path, [(name, host if name == b"host" else value) for name, value in headers]


def slug_of(error: httptools.HttpParserError, data: bytes) -> str:
    """Return the type of the problem that the parser or one of its callbacks found."""
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        is_method = _UNKNOWN_METHOD.match(data) is not None
        return "method-not-allowed" if is_method else "malformed-http"
    if isinstance(error, httptools.HttpParserCallbackError):
        reason = error.__context__
        if isinstance(reason, RefusedError):
            return reason.slug
        # uvicorn's callback parses the URL, and raises a parser's error if it is invalid.
        if not isinstance(reason, httptools.HttpParserError):
            logger.error("unexpected error while reading a request", exc_info=error)
            return "internal-error"
    return "malformed-http"
