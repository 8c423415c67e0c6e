"""What all apps share in the database."""

from __future__ import annotations

from django.db import models


class RateWindow(models.Model):
    """Requests of one client within one period; written by rate_limits."""

    key = models.CharField(primary_key=True, max_length=200)
    count = models.BigIntegerField()
    expires_at = models.BigIntegerField(
        db_index=True, help_text="Seconds since 1970; the row can be deleted after."
    )

    def __str__(self) -> str:
        return self.key
