"""Exports of uploads and events as CSV or JSON Lines, streamed.

The bytes depend only on the data: rows are in the order of ids, times are UTC with
microseconds, JSON has sorted keys and no spaces, durations are whole milliseconds. CSV
follows RFC 4180 (CRLF, UTF-8, a header line).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Literal, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from mirrorsite.actors import Actor
from mirrorsite.database import reason
from uploads.audit import log
from uploads.audit.canonical import format_time
from uploads.audit.serialization import UNREADABLE, raise_if_unavailable
from uploads.exceptions import UnreadableError
from uploads.models import Action, Upload, UploadEvent
from uploads.paging import pages

Format = Literal["csv", "jsonl"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl")
M = TypeVar("M", bound=Model)

#: What an event records as `selection` if all rows that match the filters are exported.
EVERYTHING = "all that match"
#: Rows read at a time.
PAGE = 1000
#: Spreadsheets evaluate a cell that begins with one of these as a formula, even if it is
#: quoted; some also accept the full-width forms, or one after a space:
#: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
#: The same page lists these as dangerous at the start of a cell.
_DANGEROUS_WHITESPACE = ("\t", "\r", "\n")

#: The name and the columns of each model's export.
EXPORTS: dict[type[Model], tuple[str, Sequence[str]]] = {
    Upload: ("uploads", (
        "id", "status", "bucket", "key", "size", "sha256", "etag", "version_id",
        "number", "requester", "client_address", "user_agent", "request_id", "error",
        "created_at", "stored_at", "duration_ms",
    )),
    UploadEvent: ("events", (
        "id", "upload_id", "action", "at", "actor", "request_id", "detail", "seal",
    )),
}  # fmt: skip
#: The model's attributes for the columns that have other names.
_ATTRIBUTES = {
    "requester": "requester_name",
    "duration_ms": "duration",
    "seal": "seal_id",
}


def record_export(
    actor: Actor, what: str, form: Format, *, selection: str, filters: str
) -> None:
    """Record that `what` is about to be exported.

    `filters` is the list's query string, or the options of the command.
    """
    log.record_without_upload(
        Action.EXPORTED,
        actor,
        detail={
            "what": what,
            "format": form,
            "selection": selection,
            "filter": filters[:1000],
        },
    )


def by_id(rows: QuerySet[M]) -> Iterator[M]:
    """Yield the rows in the order of ids, read in pages so that no query stays open.

    Raises `UnreadableError` for a value that Python cannot read, and that the service
    never writes.
    """
    with _unreadable_rows():
        for page in pages(rows, PAGE):
            yield from page


def lines(
    rows: Iterable[Model], columns: Sequence[str], *, form: Format
) -> Iterator[str]:
    """Yield each row as one line of text; before CSV rows, a header.

    Raises `UnreadableError`, like `by_id`, for a value that cannot be written as text.
    """
    values_of = attrgetter(*(_ATTRIBUTES.get(name, name) for name in columns))
    if form == "csv":
        yield _csv_line(columns)
    for row in rows:
        with _unreadable_rows():
            values = [_plain(value) for value in values_of(row)]
            if form == "csv":
                line = _csv_line(_cell(value) for value in values)
            else:
                line = _json(dict(zip(columns, values, strict=True))) + "\n"
        yield line


@contextmanager
def _unreadable_rows() -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise_if_unavailable(error)
        raise UnreadableError(
            f"a row cannot be read ({reason(error)}); manage.py verify_audit reports which"
        ) from error


def _csv_line(cells: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return _json(value)
    if isinstance(value, str) and (
        value.startswith(_DANGEROUS_WHITESPACE)
        or value.lstrip().startswith(_FORMULA_STARTS)
    ):
        # Spreadsheets take a cell that begins with an apostrophe as text.
        return f"'{value}"
    return value


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return format_time(value)
        case timedelta():
            return value // timedelta(milliseconds=1)
        case UUID():
            return str(value)
        case _:
            return value


def _json(value: Any) -> str:
    # ASCII only, because some tools treat U+2028 as the end of a line.
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
