"""Row counts of lists: exact up to a limit, above it the planner's estimate."""

from __future__ import annotations

import json
from typing import Any

from django.db import connection
from django.db.models import QuerySet

#: Up to here rows are counted; beyond, the answer is an estimate.
EXACT_UP_TO = 10_000


class RoughCount(int):
    """A number of rows whose text shows whether it is exact or estimated."""

    words: str

    def __new__(cls, number: int, words: str) -> RoughCount:
        count = super().__new__(cls, number)
        count.words = words
        return count

    def __str__(self) -> str:
        return self.words


def rough_count(queryset: QuerySet[Any], exact_up_to: int | None = None) -> RoughCount:
    """Return the number of rows: exact while small, else PostgreSQL's estimate."""
    most = EXACT_UP_TO if exact_up_to is None else exact_up_to
    rows = queryset.order_by()
    counted = rows[: most + 1].count()
    if counted <= most:
        return RoughCount(counted, f"{counted:,}")
    estimate = max(_estimate(rows), counted)
    digits = len(str(estimate)) - 3
    rounded = round(estimate, -digits) if digits > 0 else estimate
    return RoughCount(rounded, f"about {rounded:,}")


def _estimate(rows: QuerySet[Any]) -> int:
    if not rows.query.where:
        with connection.cursor() as cursor:
            # -1 until the table is analysed for the first time.
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass",
                [rows.model._meta.db_table],
            )
            return int(cursor.fetchone()[0])
    plan = json.loads(rows.explain(format="JSON"))
    return int(plan[0]["Plan"]["Plan Rows"])
