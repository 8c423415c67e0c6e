"""Recent failed logins, counted for the throttle."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class LoginAttempts(models.Model):
    """The attempts of one address, or for one user, that have not succeeded.

    They count for `uploads.logins.WINDOW`; the row is deleted after.
    """

    key = models.CharField(
        primary_key=True, max_length=64, help_text="address:NETWORK or user:ID"
    )
    at = ArrayField(models.DateTimeField())
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
