"""The constraint on times that all apps use, and the rate limits' table."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models

#: Ends over a year before `datetime.max`, so that a year can be added to any of them.
_PYTHON_TIMES = (datetime.min.replace(tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC))


def readable_times(name: str, *columns: str) -> models.CheckConstraint:
    """Return a constraint for times that Python can read.

    PostgreSQL can store others: infinity, the year 44 BC, the year 12000.
    """
    within = {f"{column}__range": _PYTHON_TIMES for column in columns}
    return models.CheckConstraint(condition=models.Q(**within), name=name)


class RateWindow(models.Model):
    """Number of requests of one client in one window; written by rate_limits."""

    key = models.CharField(primary_key=True, max_length=200)
    count = models.BigIntegerField()
    expires_at = models.BigIntegerField(
        db_index=True, help_text="Seconds since 1970; the row can be deleted after."
    )

    def __str__(self) -> str:
        return self.key
