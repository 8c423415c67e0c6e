"""What all apps share in the database."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models

#: Python has no times after the year 9999, which "a year later" must not pass.
_PYTHON_TIMES = (datetime.min.replace(tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC))


def readable_times(name: str, *columns: str) -> models.CheckConstraint:
    """Return a constraint for times that can be read.

    PostgreSQL has others: infinity, the year 44 BC, the year 12000.
    """
    within = {f"{column}__range": _PYTHON_TIMES for column in columns}
    return models.CheckConstraint(condition=models.Q(**within), name=name)


class RateWindow(models.Model):
    """Requests of one client within one period; written by rate_limits."""

    key = models.CharField(primary_key=True, max_length=200)
    count = models.BigIntegerField()
    expires_at = models.BigIntegerField(
        db_index=True, help_text="Seconds since 1970; the row can be deleted after."
    )

    def __str__(self) -> str:
        return self.key
