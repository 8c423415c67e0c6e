r"""The bytes that are hashed and signed. Pure: no Django, no database, no bucket.

**Canonical JSON.** One value has one encoding: keys in the order of their code
points, no white space, integers in decimal, and no other numbers. Strings hold the
characters from space to ``~`` as they are, except ``\"`` and ``\\``; all others are
escaped, as ``\b \f \n \r \t`` or ``\uXXXX``, in surrogate pairs above U+FFFF. Only the
escaping of characters above ``~``, and the order of keys above U+FFFF, differ from
RFC 8785 (JSON Canonicalization Scheme): the files are ASCII, and every string has an
encoding, even one with a lone surrogate. Fractions are refused, because their decimal
form is not unique.

**An event** is one line of canonical JSON, ended by a line feed, with the keys
``action``, ``actor``, ``at``, ``detail``, ``id``, ``request_id`` and ``upload``.
``at`` is UTC with six decimals of a second, ``2026-11-23T18:22:05.000123Z``;
``upload`` is a UUID with hyphens, in lower case, or null.

**The events of a seal** are one file: their lines, in ascending order of id. The
**root** is the SHA-256 of exactly these bytes; ``sha256sum`` on the copy in the bucket
prints it. When the events in the database have another root, comparing them with the
copy's lines shows which ones differ. A Merkle tree would prove one event without the
others, which is not needed here.

**A seal** is canonical JSON with these keys, without a line feed at the end:

================ ====================================================================
``format``       ``mirrorsite-audit-seal-1``
``number``       counts from 1, without gaps
``sealed_at``    the time, in the form of an event's ``at``
``event_count``  how many events it covers, which may be 0
``first_event``  the lowest of their ids, or null
``last_event``   the highest of their ids, or null
``root``         the root of its events, 64 hexadecimal digits
``previous``     the hash of the previous seal; 64 zeros in the first one
``key_id``       the signing key: the first 16 hexadecimal digits of the SHA-256 of
                 its public key (32 bytes)
``next_key``     null, or the public key that it announces (64 hexadecimal digits)
``signature``    Ed25519 (RFC 8032), 128 hexadecimal digits
================ ====================================================================

The **signature** covers ``mirrorsite-audit-seal-1``, a line feed, and the canonical
JSON of all keys except ``signature``. The **hash of a seal** is the SHA-256 of the seal
with its signature: ``sha256sum`` on its copy.

The bytes that a root covers are empty or start with ``{"action":``, those that a seal's
hash covers start with ``{"event_count":``, and the signed ones with the format's name.
So none of the three can be passed off as another.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

FORMAT = "mirrorsite-audit-seal-1"
#: `previous` of the first seal.
NO_SEAL = "0" * 64
#: The root of a seal without events.
NO_EVENTS = hashlib.sha256().hexdigest()

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_INTEGER = "(0|-?[1-9][0-9]*)"
#: Matches a seal's copy in canonical form, except that the time may not exist.
_SEAL = re.compile(
    rf"""
    \{{"event_count":{_INTEGER},
    "first_event":(null|{_INTEGER}),
    "format":"{FORMAT}",
    "key_id":"[0-9a-f]{{16}}",
    "last_event":(null|{_INTEGER}),
    "next_key":(null|"[0-9a-f]{{64}}"),
    "number":{_INTEGER},
    "previous":"[0-9a-f]{{64}}",
    "root":"[0-9a-f]{{64}}",
    "sealed_at":"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{6}}Z",
    "signature":"[0-9a-f]{{128}}"\}}
    """.encode(),
    re.VERBOSE,
)
_PLAIN = frozenset({str, int, bool, type(None)})
_encoder = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":")
)


class NotCanonicalError(ValueError):
    """The value has no canonical form, or the bytes are not in canonical form."""


def encode(value: Any) -> bytes:
    """Return canonical JSON; raises `NotCanonicalError` if the value has none."""
    refuse_fractions(value)
    try:
        return _encoder.encode(value).encode("ascii")
    except (TypeError, ValueError) as error:
        raise NotCanonicalError(str(error)) from error


def refuse_fractions(value: Any) -> None:
    """Raise `NotCanonicalError` if a float is anywhere in `value`."""
    if isinstance(value, float):
        raise NotCanonicalError(f"{value!r} is not an integer")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for inner in value:
        # Most values are plain, and a call for each would slow down the sealer.
        if type(inner) not in _PLAIN:
            refuse_fractions(inner)


def format_time(at: datetime) -> str:
    """Return a point in time as UTC with microseconds."""
    text = at.astimezone(UTC).isoformat(timespec="microseconds")
    return text.removesuffix("+00:00") + "Z"


def event_line(
    id: int,  # noqa: A002 the name of the column
    upload: UUID | None,
    action: str,
    at: datetime,
    actor: str,
    request_id: str,
    detail: dict[str, Any],
) -> bytes:
    """Return an event as one line of canonical JSON; raises `NotCanonicalError`.

    The parameters are in the order in which `uploads.audit.serialization` selects the
    columns.
    """
    return (
        encode(
            {
                "id": id,
                "upload": None if upload is None else str(upload),
                "action": action,
                "at": format_time(at),
                "actor": actor,
                "request_id": request_id,
                "detail": detail,
            }
        )
        + b"\n"
    )


def parse_event_id(line: bytes) -> int:
    """Return the id in an event's line; raises `NotCanonicalError` for any other line."""
    try:
        event = json.loads(line)
        is_event = type(event["id"]) is int and encode(event) + b"\n" == line
    except (KeyError, RecursionError, TypeError, ValueError):
        is_event = False
    if not is_event:
        raise NotCanonicalError("a line is not an event")
    return int(event["id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A seal as it is signed and copied; the module's docstring describes the keys."""

    number: int
    sealed_at: str
    event_count: int
    first_event: int | None
    last_event: int | None
    root: str
    previous: str
    key_id: str
    next_key: str | None = None
    signature: str = ""

    def signed_bytes(self) -> bytes:
        """Return what the signature covers."""
        content = self._content()
        del content["signature"]
        return f"{FORMAT}\n".encode() + encode(content)

    def file_bytes(self) -> bytes:
        """Return the content of the seal's copy in the bucket."""
        return encode(self._content())

    def hash(self) -> str:
        """Return the `previous` of the next seal."""
        return hashlib.sha256(self.file_bytes()).hexdigest()

    def _content(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {"format": FORMAT}


def parse_seal(content: bytes) -> Seal:
    """Parse a seal's copy; raises `NotCanonicalError` unless every byte is canonical."""
    if not _SEAL.fullmatch(content):
        raise NotCanonicalError("it does not have a seal's keys in canonical form")
    try:
        values = json.loads(content)
        parse_canonical_time(values["sealed_at"])
    except ValueError as error:  # such as 31 February, or a number of 5,000 digits
        raise NotCanonicalError(str(error)) from error
    del values["format"]
    return Seal(**values)


def parse_canonical_time(text: str) -> datetime:
    """Parse a time in the form of `format_time`; raises ValueError for any other."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
