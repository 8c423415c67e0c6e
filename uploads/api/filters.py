"""The query of the list of uploads: what may be asked, and how it is refused."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import QueryDict

from mirrorsite.problems import InvalidRequest
from mirrorsite.times import parse_time
from uploads.models import Status, Upload

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_MAX_TEXT = 1024

#: RFC 3339, section 5.6: with seconds and an offset.
_RFC3339 = re.compile(r"[^Tt]*[Tt][0-9:]{8}(\.[0-9]*)?([Zz]|[+-][0-9:]{5})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place after one upload in the order newest first; ids break ties.

    A page begins below this place whatever was added above it since, so no upload
    comes twice and none is left out.
    """

    created_at: datetime
    upload_id: UUID

    def __str__(self) -> str:
        text = f"{self.created_at.isoformat()} {self.upload_id.hex}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raise ValueError for what no answer of ours has held."""
        try:
            padded = text + "=" * (-len(text) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
            moment, _, identifier = raw.partition(" ")
            cursor = cls(datetime.fromisoformat(moment), UUID(hex=identifier))
        except (binascii.Error, UnicodeError) as error:
            raise ValueError("not a cursor") from error
        if cursor.created_at.utcoffset() != timedelta(0) or str(cursor) != text:
            raise ValueError("not a cursor")
        return cursor


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What one request for the list asks."""

    filters: dict[str, Any]
    cursor: Cursor | None
    limit: int

    @classmethod
    def of(cls, parameters: QueryDict) -> ListQuery:
        """Read the query string; raises `InvalidRequest` that names the parameter."""
        unknown = sorted(set(parameters) - set(_READERS))
        if unknown:
            name = unknown[0][:100]
            raise InvalidRequest(
                name,
                "unknown-parameter",
                f"The parameter {name!r} is not known; allowed are"
                f" {', '.join(_READERS)}.",
            )
        read: dict[str, Any] = {}
        for name, values in parameters.lists():
            if len(values) > 1:
                raise InvalidRequest(
                    name, "repeated-parameter", f"{name} is given more than once."
                )
            read[name] = _read(name, values[0])
        return cls(
            cursor=read.pop("cursor", None),
            limit=read.pop("limit", DEFAULT_LIMIT),
            filters=read,
        )

    def page_of(self, uploads: QuerySet[Upload]) -> tuple[list[Upload], Cursor | None]:
        """Return a page and the cursor of the next, None at the end; one query."""
        found = self._filtered(uploads).order_by("-created_at", "-id")
        if self.cursor is not None:
            moment, identifier = self.cursor.created_at, self.cursor.upload_id
            # The first condition is implied; it lets the database start in the index.
            found = found.filter(
                Q(created_at__lte=moment)
                & (Q(created_at__lt=moment) | Q(id__lt=identifier))
            )
        rows = list(found[: self.limit + 1])
        if len(rows) <= self.limit:
            return rows, None
        last = rows[self.limit - 1]
        return rows[: self.limit], Cursor(last.created_at, last.pk)

    def _filtered(self, uploads: QuerySet[Upload]) -> QuerySet[Upload]:
        wanted = dict(self.filters)
        prefix = wanted.pop("key_prefix", None)
        lookups = {
            "status": "status",
            "created_after": "created_at__gte",
            "created_before": "created_at__lt",
            "request_id": "request_id",
        }
        found = uploads.filter(
            **{lookups[name]: value for name, value in wanted.items()}
        )
        if prefix is not None:
            found = found.filter(key__startswith=prefix)
        return found


def _read(name: str, value: str) -> Any:
    wanted, reader = _READERS[name]
    try:
        return reader(value)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            name, "invalid-parameter", f"{name} must be {wanted}."
        ) from error


def _moment(value: str) -> datetime:
    if not _RFC3339.fullmatch(value):
        raise ValueError("not RFC 3339")
    return parse_time(value)


def _limit(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= MAX_LIMIT:
        raise ValueError("out of range")
    return int(value)


def _text(value: str) -> str:
    if not 1 <= len(value) <= _MAX_TEXT or not value.isprintable():
        raise ValueError("not a text to look for")
    return value


_MOMENT = (
    "a time as in RFC 3339, such as 2026-01-31T12:00:00Z"
    " (a + in it is %2B in an address)"
)
_TEXT = f"1 to {_MAX_TEXT} printable characters"
_READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "status": (f"one of {', '.join(Status.values)}", Status),
    "created_after": (_MOMENT, _moment),
    "created_before": (_MOMENT, _moment),
    "key_prefix": (_TEXT, _text),
    "request_id": (_TEXT, _text),
    "limit": (f"a whole number from 1 to {MAX_LIMIT}", _limit),
    "cursor": ("taken from the next of an earlier answer", Cursor.parse),
}
