"""Text from outside (keys, names, error messages), made safe to print."""

from __future__ import annotations

import json
from typing import Any

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
    """Return `value` as one line of JSON, with the same characters escaped."""
    line = _encode(value)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
