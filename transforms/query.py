"""Strict parsing of one parameter of a raw query string. No Django here."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes


class QueryError(ValueError):
    """The parameter is missing or malformed; `code` names the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def single_parameter(query_string: bytes, name: str, *, max_characters: int) -> str:
    """Return the one value of `name` in an `application/x-www-form-urlencoded` query.

    Raises `QueryError` when it is missing, given more than once, not UTF-8, or
    longer than `max_characters` code points. Django's QueryDict hides two of these:
    it replaces what is not UTF-8 and returns the last of several values.
    """
    values = []
    for pair in query_string.split(b"&"):
        key, _, value = pair.partition(b"=")
        if unquote_to_bytes(key.replace(b"+", b" ")) == name.encode():
            values.append(value)
    if not values:
        raise QueryError(
            f"{name}-missing", f"The query parameter {name!r} is missing; give it once."
        )
    if len(values) > 1:
        raise QueryError(
            f"{name}-repeated",
            f"The query parameter {name!r} is given {len(values)} times; give it once.",
        )
    try:
        text = unquote_to_bytes(values[0].replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise QueryError(
            f"{name}-not-utf8",
            f"The query parameter {name!r} is not valid UTF-8; percent-encode UTF-8.",
        ) from error
    if len(text) > max_characters:
        raise QueryError(
            f"{name}-too-long",
            f"The query parameter {name!r} has {len(text)} characters;"
            f" at most {max_characters} are allowed.",
        )
    return text
