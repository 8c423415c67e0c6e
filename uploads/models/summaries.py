"""What the dashboard shows of past hours, counted beforehand."""

from __future__ import annotations

from django.db import models


class HourSummary(models.Model):
    """What the dashboard shows of the uploads of one past hour; can be made again.

    A million rows cannot be counted at each look. `StaleHour` says which summaries
    have to be made again.
    """

    hour = models.DateTimeField(primary_key=True)
    uploads: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(
        help_text="Status to number of uploads."
    )
    stored_bytes = models.BigIntegerField()
    latencies: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(
        help_text="Bucket of uploads.summaries to number of stored uploads."
    )

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00"


class StaleHour(models.Model):
    """An upload of this past hour has changed; one row for each such change."""

    hour = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00"
