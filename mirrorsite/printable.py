"""Text from outside (keys, names, error messages), made safe to print."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote_to_bytes

#: json.dumps would make one for each line.
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def printable(text: str) -> str:
    r"""Escape what would break the line, drive a terminal or reorder what it shows.

    Line feeds, control and format characters and lone surrogates become `\n`,
    `\x1b`, `\u202e`, `\udc80`.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def json_line(value: Any) -> str:
    """Return `value` as one line of JSON; escapes what `printable` does, as JSON does."""
    line = _encode(value)
    if line.isprintable():
        return line
    # [1:-1] is without the quotes.
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)


@lru_cache(maxsize=1024)
def quoted_path(raw_path: bytes) -> str:
    """Return a request's path as a URI reference (RFC 3986), percent-encoded once.

    No line break of a client's gets into the log.
    """
    return quote(unquote_to_bytes(raw_path), safe="/:@!$&'()*+,;=~-._")
