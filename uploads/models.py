"""The current state of each upload.

Its history (`UploadEvent`) and the proof of that (`AuditSeal`) are defined in
`uploads.audit`, and imported here, where Django looks for models.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from mirrorsite.models import readable_times
from uploads.audit.models import (
    WITHOUT_UPLOAD,
    Action,
    AuditSeal,
    UploadEvent,
)

__all__ = [
    "WITHOUT_UPLOAD",
    "Action",
    "AuditSeal",
    "Status",
    "Upload",
    "UploadEvent",
    "new_upload_id",
]

#: A UUIDv7 (RFC 9562, section 5.7): random, and ordered by time.
new_upload_id = uuid7

#: An upload takes seconds; one that is pending for longer needs reconciliation.
OVERDUE_AFTER = timedelta(minutes=1)


class Status(models.TextChoices):
    """What is known about an upload's object."""

    PENDING = "pending", "Pending"
    STORED = "stored", "Stored"
    FAILED = "failed", "Failed"
    MISSING = "missing", "Missing"
    CORRUPTED = "corrupted", "Corrupted"
    PURGED = "purged", "Purged"


_NOT_STORED = tuple(status for status in Status if status != Status.STORED)


class UploadQuerySet(models.QuerySet["Upload"]):
    def overdue(self) -> UploadQuerySet:
        """Return the uploads that have been pending for longer than `OVERDUE_AFTER`."""
        latest = timezone.now() - OVERDUE_AFTER
        return self.filter(status=Status.PENDING, created_at__lt=latest)

    def last_stored_at(self) -> datetime | None:
        """Return when the newest stored upload was stored."""
        # There is an index for this order, and none for stored_at.
        stored = self.filter(status=Status.STORED, stored_at__isnull=False)
        newest = stored.order_by("-created_at", "-id")
        return newest.values_list("stored_at", flat=True).first()


class Upload(models.Model):
    """The current state of one upload. If it differs from the events, they are right."""

    id = models.UUIDField(primary_key=True, default=new_upload_id, editable=False)
    bucket = models.CharField(
        max_length=255, help_text="A name, or the ARN of an access point."
    )
    # Ordered by bytes, as S3 lists keys: reconciliation compares the two in that order.
    key = models.CharField(max_length=1024, db_collation="C")
    status = models.CharField(max_length=16, choices=Status)
    size = models.BigIntegerField(help_text="Bytes.")
    sha256 = models.CharField("SHA-256", max_length=64)
    etag = models.CharField("ETag", max_length=128, blank=True, default="")
    version_id = models.CharField(max_length=1024, blank=True, default="")
    number = models.BigIntegerField(
        null=True, help_text="The first random number in the object."
    )
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    requester_name = models.CharField(max_length=200)
    client_address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=512, blank=True, default="")
    request_id = models.CharField(max_length=128, blank=True, default="")
    idempotency_scope = models.CharField(
        max_length=64, blank=True, default="", help_text="The actor whose key it is."
    )
    idempotency_key = models.CharField(max_length=255, blank=True, default="")
    idempotency_fingerprint = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="SHA-256 of the request's body.",
    )
    attempt_started_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the last attempt under an idempotency key began; empty without a key, and after an attempt that ended with an unknown outcome.",
    )
    error = models.CharField(max_length=1000, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    stored_at = models.DateTimeField(null=True, blank=True)
    duration = models.DurationField(
        null=True,
        blank=True,
        help_text="How long the attempt that stored the object took.",
    )

    objects = UploadQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(size__gte=0), name="upload_size_not_negative"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=Status.values),
                name="upload_status_is_known",
            ),
            readable_times(
                "upload_times_are_readable",
                "attempt_started_at",
                "created_at",
                "stored_at",
            ),
            # Far less than Python's maximum: a year has 360 days when PostgreSQL
            # compares it, and 365 when psycopg reads it.
            models.CheckConstraint(
                condition=models.Q(
                    duration__range=(-timedelta(days=10**8), timedelta(days=10**8))
                ),
                name="upload_duration_is_readable",
            ),
            # Not `unique=True`, which adds an index for LIKE that this collation does
            # not need.
            models.UniqueConstraint(fields=["key"], name="upload_key_is_unique"),
            models.UniqueConstraint(
                fields=["idempotency_scope", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="upload_once_per_key",
            ),
        )
        indexes = (
            models.Index(fields=["-created_at", "-id"], name="upload_newest_first"),
            # Most uploads are stored; the list is filtered by the other statuses.
            models.Index(
                fields=["status", "-created_at", "-id"],
                condition=models.Q(status__in=_NOT_STORED),
                name="upload_not_stored",
            ),
            models.Index(
                fields=["requester_name", "-created_at", "-id"],
                name="upload_by_requester",
            ),
            # For prefixes: LIKE uses an index only with this operator class, or with
            # the collation that `key` has.
            models.Index(
                fields=["request_id"],
                name="upload_request_id_prefix",
                opclasses=["varchar_pattern_ops"],
            ),
            models.Index(
                fields=["sha256"],
                name="upload_sha256_prefix",
                opclasses=["varchar_pattern_ops"],
            ),
        )
        permissions = (
            ("verify_upload", "Can verify uploads"),
            ("export_upload", "Can export uploads and events"),
            ("download_upload", "Can read an upload's content"),
            ("view_proof", "Can see the proof of an upload's events"),
        )

    def __str__(self) -> str:
        return f"{self.key} ({self.status})"
