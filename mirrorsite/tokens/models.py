"""API tokens: scopes, owner and expiry of each; the secret itself is not stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone
from knox.models import AbstractAuthToken

from mirrorsite.models import readable_times


class Scope(models.TextChoices):
    """What a token may be used for."""

    UPLOAD = "upload", "Upload"
    READ = "read", "Read"


class Token(AbstractAuthToken, models.Model):
    """A token of django-rest-knox, with a name, scopes, last use and revocation.

    knox generates, hashes, finds and compares the secret. Unlike in knox's own table, the
    primary key is a number, so no URL of the admin contains the hash, and tokens and their
    owners are never deleted, so `token:<name>` always means one token. Triggers
    (uploads.triggers) allow changes of the last use and the revocation only.
    """

    id = models.BigAutoField(primary_key=True)
    digest = models.CharField(max_length=128, unique=True, editable=False)
    token_key = models.CharField(
        "starts with", max_length=25, db_index=True, editable=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name="owner",
        on_delete=models.PROTECT,
        related_name="auth_token_set",
        help_text="A token is not valid while its owner is not active.",
    )
    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9._@+-]+\Z",
                "A name has 1 to 100 letters, digits and . _ @ + - only.",
            )
        ],
        help_text="Events name it token:NAME; letters, digits, . _ @ + -",
    )
    can_upload = models.BooleanField(
        "may upload", default=False, help_text="POST /api/upload-random"
    )
    can_read = models.BooleanField(
        "may read",
        default=False,
        help_text="Everything below /api/uploads, verifying included",
    )
    created = models.DateTimeField("created at", default=timezone.now, editable=False)
    expiry = models.DateTimeField("expires at")
    last_used_at = models.DateTimeField(
        null=True, editable=False, help_text="Written at most once a minute."
    )
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = models.Manager["Token"]()

    class Meta:
        ordering = ("-created", "-id")
        verbose_name = "API token"
        verbose_name_plural = "API tokens"
        default_permissions = ("add", "view")
        permissions = (("revoke_token", "Can revoke API token"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(can_upload=True) | models.Q(can_read=True),
                name="token_has_a_scope",
                violation_error_message="A token needs a scope: upload, read or both.",
            ),
            readable_times(
                "token_times_are_readable",
                "created",
                "expiry",
                "last_used_at",
                "revoked_at",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def scopes(self) -> frozenset[Scope]:
        return frozenset(s for s in Scope if getattr(self, f"can_{s.value}"))

    def facts(self) -> dict[str, Any]:
        """Return the token's attributes for an event, without the secret or its hash."""
        return {
            "token": self.name,
            "number": self.pk,
            "owner": self.user.get_username(),
            "scopes": sorted(scope.value for scope in self.scopes),
            "expires_at": self.expiry.isoformat(),
        }

    def is_valid_at(self, moment: datetime) -> bool:
        """Return True if the token is neither expired nor revoked."""
        return self.revoked_at is None and moment < self.expiry
