"""Row counts of lists: exact up to a limit, above it the planner's estimate."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import QuerySet

#: A larger number of rows is estimated.
EXACT_UP_TO = 10_000


class RoughCount(int):
    """A number of rows whose text shows whether it is exact or estimated.

    In templates `|stringformat:"s"` gives that text: they format an int themselves.
    """

    is_exact: bool

    def __str__(self) -> str:
        return f"{self:,}" if self.is_exact else f"about {self:,}"


def rough_count(queryset: QuerySet[Any], exact_up_to: int = EXACT_UP_TO) -> RoughCount:
    """Return the number of rows: above `exact_up_to`, the planner's estimate."""
    rows = queryset.order_by()
    counted = rows[: exact_up_to + 1].count()
    is_exact = counted <= exact_up_to
    if not is_exact:
        plan = json.loads(rows.explain(format="JSON"))
        counted = max(int(plan[0]["Plan"]["Plan Rows"]), counted)
        # To three significant digits: no estimate is more precise.
        counted = round(counted, min(0, 3 - len(str(counted))))
    count = RoughCount(counted)
    count.is_exact = is_exact
    return count
