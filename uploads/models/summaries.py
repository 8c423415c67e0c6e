"""What the dashboard shows of past hours, counted beforehand."""

from __future__ import annotations

from django.db import models


class HourSummary(models.Model):
    """What the dashboard shows of the uploads of one past hour; can be made again.

    A million rows cannot be counted each time the dashboard is shown.
    """

    hour = models.DateTimeField(primary_key=True)
    uploads: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(
        help_text="Status to number of uploads."
    )
    stored_bytes = models.BigIntegerField()
    latencies: models.JSONField[dict[str, int], dict[str, int]] = models.JSONField(
        help_text="Bucket of uploads.summaries to number of stored uploads."
    )
    current_at = models.DateTimeField(
        help_text="The summary includes every event up to this time."
    )

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00"
