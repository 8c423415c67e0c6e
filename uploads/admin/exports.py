"""Rows of a list as CSV or JSON lines, sent as they are read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from django.db.models import Model, Q, QuerySet

BATCH = 1_000
#: What a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def stream(queryset: QuerySet[Any], form: str) -> Iterator[bytes]:
    """Yield the rows in the form `csv` or `jsonl`, a batch at a time."""
    names = [field.attname for field in queryset.model._meta.concrete_fields]
    if form == "csv":
        yield _csv([names])
    for batch in _batches(queryset):
        values = [[getattr(row, name) for name in names] for row in batch]
        if form == "csv":
            yield _csv([[_cell(value) for value in row] for row in values])
        else:
            yield b"".join(
                json.dumps(dict(zip(names, row, strict=True)), default=str).encode()
                + b"\n"
                for row in values
            )


def _batches(queryset: QuerySet[Any]) -> Iterator[list[Model]]:
    """Yield the rows in the queryset's order, each batch from where the last ended."""
    columns = [str(name).lstrip("-") for name in queryset.query.order_by]
    rest = queryset
    while batch := list(rest[:BATCH]):
        yield batch
        last = batch[-1]
        first = columns[0]
        beyond = Q(**{f"{first}__lt": getattr(last, first)})
        if len(columns) > 1:
            same = {first: getattr(last, first)}
            beyond |= Q(**same, **{f"{columns[1]}__lt": getattr(last, columns[1])})
            beyond &= Q(**{f"{first}__lte": getattr(last, first)})
        rest = queryset.filter(beyond)


def _csv(rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
