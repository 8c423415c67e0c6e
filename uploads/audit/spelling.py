"""How values are written in SQLite, which keeps whatever text it is given.

There one value has many spellings: a UUID with hyphens, a time with an offset, JSON
with a member twice. Read through Django all are the same value, and so the same line
of the trail; to SQL they are not: an event whose `upload_id` is in capitals belongs to
no upload any more. So a row is as it was sealed only if it is also written as the
service writes it. PostgreSQL has types, and one form of each value.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import F, Func, TextField

T = TypeVar("T")

_UUID = "(typeof({0}) = 'text' AND length({0}) = 32 AND {0} NOT GLOB '*[^0-9a-f]*')"


def column(name: str) -> F | Func:
    """Return a column for a query; on SQLite as it is written, not as Django reads it."""
    if connection.vendor != "sqlite":
        return F(name)
    # A plain column would be converted by its declared type; + changes nothing else.
    return Func(F(name), template="(+%(expressions)s)", output_field=TextField())


def is_uuid(name: str) -> str:
    """Return SQL that tells whether a column of SQLite holds a UUID as we write it."""
    return _UUID.format(name)


def uuid_of(written: Any) -> UUID:
    """Read a UUID; raises ValueError or TypeError, as do the others here."""
    return _same(UUID(written), written, lambda value: value.hex)


def time_of(written: Any) -> datetime:
    """Read a point in time, which is UTC without saying so."""
    at = datetime.fromisoformat(written).replace(tzinfo=None)
    return _same(at, written, str).replace(tzinfo=UTC)


def json_of(written: Any) -> Any:
    """Read JSON; raises RecursionError too."""
    return _same(json.loads(written), written, json.dumps)


def _same(value: T, written: object, write: Callable[[T], str]) -> T:
    if write(value) != written:
        raise ValueError("it is not written as the service writes it")
    return value
