"""Rules for a request's head that the HTTP parser does not check (RFC 9112)."""

from __future__ import annotations

import re

from mirrorsite.negotiation import MAX_BODY_BYTES

Headers = list[tuple[bytes, bytes]]

#: The authority of a target in absolute form, and what follows it.
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@]+)((?:[/?#].*)?)")
#: Fields that must not be repeated.
_SINGLE = (b"host", b"content-type")


class RefusedError(Exception):
    """The request breaks a rule or a limit; `slug` is the type of the problem."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug


def check_fields(version: str, headers: Headers) -> None:
    """Raise `RefusedError` unless the header fields are valid for the HTTP version.

    Names are in lower case. The parser has already refused malformed fields, a repeated
    Content-Length, and one beside a Transfer-Encoding.
    """
    fields = dict(headers)
    if version not in {"1.0", "1.1"}:
        raise RefusedError("malformed-http")
    if version == "1.1" and b"host" not in fields:
        raise RefusedError("malformed-http")  # section 3.2
    if len(fields) < len(headers):
        names = [name for name, _ in headers]
        if any(names.count(name) > 1 for name in _SINGLE):
            raise RefusedError("malformed-http")
    if b"transfer-encoding" in fields:
        _check_transfer_coding(version, headers)
    if b"expect" in fields:
        for name, value in headers:
            if name == b"expect" and value.lower() != b"100-continue":
                raise RefusedError("expectation-failed")
    if int(fields.get(b"content-length", b"0")) > MAX_BODY_BYTES:
        raise RefusedError("body-too-large")


def _check_transfer_coding(version: str, headers: Headers) -> None:
    """Refuse codings other than chunked, and any in HTTP/1.0 (section 6.1)."""
    if version == "1.0":
        raise RefusedError("malformed-http")
    for name, value in headers:
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise RefusedError("transfer-coding-not-implemented")


def to_origin_form(
    method: bytes, target: bytes, headers: Headers
) -> tuple[bytes, Headers]:
    """Return path and query of an absolute target, and headers with its host.

    The target's host replaces that of the Host field (section 3.2.2). `*` is returned as
    it is.
    """
    if target == b"*" and method == b"OPTIONS":
        return target, headers
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise RefusedError("malformed-http")
    host, rest = match.groups()
    path = rest if rest.startswith(b"/") else b"/" + rest
    return path, [(name, host if name == b"host" else value) for name, value in headers]
