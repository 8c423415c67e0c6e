"""Reading a large table in pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from django.db.models import Model, QuerySet

_M = TypeVar("_M", bound=Model)


def pages(rows: QuerySet[_M], size: int, *, by: str = "pk") -> Iterator[list[_M]]:
    """Yield the rows in the order of the unique column `by`, `size` at a time.

    Each page is one query, so that none stays open while a page is processed.
    """
    rows = rows.order_by(by)
    page = list(rows[:size])
    while page:
        yield page
        if len(page) < size:
            return
        page = list(rows.filter(**{f"{by}__gt": getattr(page[-1], by)})[:size])
