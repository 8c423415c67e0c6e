"""The record: what was uploaded, and everything that happened to it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from typing import Any, NoReturn, TypeVar

import uuid_utils.compat
from django.conf import settings
from django.db import models
from django.utils import timezone

from uploads.exceptions import AppendOnlyError


def new_upload_id() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7): random, and ordered by time."""
    return uuid_utils.compat.uuid7()


_M = TypeVar("_M", bound=models.Model)


class AppendOnlyQuerySet(models.QuerySet[_M]):
    """A queryset that reads and adds.

    The triggers refuse the rest as well (uploads.audit.triggers); this says so
    earlier, and in the language of the caller.
    """

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(_REFUSED.format(self.model._meta.label, "update"))

    def delete(self) -> NoReturn:
        raise AppendOnlyError(_REFUSED.format(self.model._meta.label, "delete"))

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(_REFUSED.format(self.model._meta.label, "update"))

    def bulk_create(
        self,
        objs: Iterable[_M],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[_M]:
        if ignore_conflicts or update_conflicts:
            raise AppendOnlyError(_REFUSED.format(self.model._meta.label, "upsert"))
        return super().bulk_create(objs, batch_size)


_REFUSED = "{} is append-only: {} is refused."


class AppendOnlyModel(models.Model):
    """A row that is written once."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(_REFUSED.format(self._meta.label, "update"))
        # Never an UPDATE, also when a row with this primary key is there already.
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(_REFUSED.format(self._meta.label, "delete"))


class UploadQuerySet(models.QuerySet["Upload"]):
    """Uploads change their state; they are never deleted."""

    def delete(self) -> NoReturn:
        raise AppendOnlyError(_REFUSED.format("uploads.Upload", "delete"))

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class Status(models.TextChoices):
    """What is known of an upload's object."""

    PENDING = "pending", "Pending"
    STORED = "stored", "Stored"
    FAILED = "failed", "Failed"
    MISSING = "missing", "Missing"
    CORRUPTED = "corrupted", "Corrupted"
    PURGED = "purged", "Purged"


#: Every status but stored, in the order of the index that holds them.
NOT_STORED: tuple[Status, ...] = tuple(s for s in Status if s != Status.STORED)


class Action(models.TextChoices):
    """What can happen: to an upload, by its readers, or around the trail itself."""

    REQUESTED = "requested", "Requested"
    STORED = "stored", "Stored"
    FAILED = "failed", "Failed"
    VERIFIED = "verified", "Verified"
    MISSING = "missing", "Missing"
    CORRUPTED = "corrupted", "Corrupted"
    ADOPTED = "adopted", "Adopted"
    PURGED = "purged", "Purged"
    # Notes: somebody looked, and nothing changed.
    DOWNLOADED = "downloaded", "Downloaded"
    PROOF_SHOWN = "proof_shown", "Proof shown"
    # Notes without an upload.
    EXPORTED = "exported", "Exported"
    LOGGED_IN = "logged_in", "Logged in"
    LOGIN_FAILED = "login_failed", "Login failed"
    LOGGED_OUT = "logged_out", "Logged out"
    TOKEN_MADE = "token_made", "Token made"
    TOKEN_REVOKED = "token_revoked", "Token revoked"
    AUDIT_CHECKED = "audit_checked", "Audit checked"


#: The status that each action leaves behind; an action that is not here is a note,
#: after which the status is what it was.
STATUS_AFTER: dict[Action, Status] = {
    Action.REQUESTED: Status.PENDING,
    Action.STORED: Status.STORED,
    Action.FAILED: Status.FAILED,
    Action.VERIFIED: Status.STORED,
    Action.MISSING: Status.MISSING,
    Action.CORRUPTED: Status.CORRUPTED,
    Action.ADOPTED: Status.STORED,
    Action.PURGED: Status.PURGED,
}

#: The statuses that each action may follow; REQUESTED and ADOPTED also begin a record.
ALLOWED_BEFORE: dict[Action, frozenset[Status]] = {
    # A failed upload may be tried again under its own id and key.
    Action.REQUESTED: frozenset({Status.FAILED, Status.PENDING}),
    # Failed and missing too: an object can appear after it was given up.
    Action.STORED: frozenset({Status.PENDING, Status.FAILED, Status.MISSING}),
    Action.FAILED: frozenset({Status.PENDING}),
    # Purged too: the store may refuse to delete what was to be purged.
    Action.VERIFIED: frozenset(
        {Status.STORED, Status.MISSING, Status.CORRUPTED, Status.PURGED}
    ),
    Action.MISSING: frozenset({Status.STORED, Status.CORRUPTED, Status.MISSING}),
    Action.CORRUPTED: frozenset(
        {Status.STORED, Status.PENDING, Status.FAILED, Status.MISSING, Status.CORRUPTED}
    ),
    Action.ADOPTED: frozenset(),
    # Purged again when the object was found to be there still.
    Action.PURGED: frozenset(
        {Status.STORED, Status.MISSING, Status.CORRUPTED, Status.PURGED}
    ),
}

#: Notes about no upload; every other action has one.
WITHOUT_UPLOAD: frozenset[Action] = frozenset(
    {
        Action.EXPORTED,
        Action.LOGGED_IN,
        Action.LOGIN_FAILED,
        Action.LOGGED_OUT,
        Action.TOKEN_MADE,
        Action.TOKEN_REVOKED,
        Action.AUDIT_CHECKED,
    }
)

#: Every action that does not belong to each upload's plain course.
UNCOMMON: tuple[Action, ...] = tuple(
    a for a in Action if a not in {Action.REQUESTED, Action.STORED}
)


class Upload(models.Model):
    """The current state of one upload, for browsing; the truth is in its events."""

    id = models.UUIDField(primary_key=True, default=new_upload_id, editable=False)
    bucket = models.CharField(max_length=63)
    key = models.CharField(max_length=1024, unique=True)
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
        max_length=64, blank=True, default="", help_text="Whose key it is."
    )
    idempotency_key = models.CharField(max_length=255, blank=True, default="")
    idempotency_fingerprint = models.CharField(
        max_length=64, blank=True, default="", help_text="Of the request; SHA-256."
    )
    attempt_started_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the last try under an idempotency key began; empty when over.",
    )
    error = models.CharField(max_length=1000, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    stored_at = models.DateTimeField(null=True, blank=True)
    duration = models.DurationField(
        null=True,
        blank=True,
        help_text="From the request to the object's being stored.",
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
            models.UniqueConstraint(
                fields=["idempotency_scope", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="upload_once_per_key",
            ),
        )
        indexes = (
            models.Index(fields=["-created_at", "-id"], name="upload_newest_first"),
            # Most uploads are stored; the rest are what one looks for.
            models.Index(
                fields=["status", "-created_at", "-id"],
                condition=models.Q(status__in=NOT_STORED),
                name="upload_not_stored",
            ),
            models.Index(
                fields=["requester_name", "-created_at", "-id"],
                name="upload_by_requester",
            ),
            # Prefixes: PostgreSQL uses an index for LIKE only with this operator
            # class, whatever the collation; SQLite ignores it. `key` has one already.
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

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(_REFUSED.format(self._meta.label, "delete"))


class AuditSeal(AppendOnlyModel):
    """A signed statement over a set of events; never changed, never deleted.

    Each seal names the hash of the one before it, so seals are a chain, and what a
    seal covers cannot change without its root changing. A seal over no events says
    that nothing happened.
    """

    number = models.BigIntegerField(primary_key=True, help_text="Counts from 1.")
    sealed_at = models.DateTimeField()
    first_event = models.BigIntegerField(null=True, help_text="Lowest event id.")
    last_event = models.BigIntegerField(null=True, help_text="Highest event id.")
    event_count = models.BigIntegerField()
    root = models.CharField(max_length=64, help_text="Hash over the events; SHA-256.")
    previous = models.CharField(
        max_length=64, unique=True, help_text="Hash of the seal before; zeros at first."
    )
    signature = models.CharField(max_length=128, help_text="Ed25519, hexadecimal.")
    key_id = models.CharField(max_length=64)
    next_key = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="The public key that takes over, hexadecimal; empty but at a rotation.",
    )
    object_key = models.CharField(
        max_length=1024, help_text="Where its copy lies in the bucket."
    )

    objects = AppendOnlyQuerySet["AuditSeal"].as_manager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("number",)

    def __str__(self) -> str:
        return f"seal {self.number}"


class UploadEvent(AppendOnlyModel):
    """One thing that happened; never changed, never deleted.

    It happened to an upload, except for the actions of `WITHOUT_UPLOAD`. The actor is
    text, not a reference: deleting a user must not need a change here.
    """

    id = models.BigAutoField(primary_key=True)
    upload = models.ForeignKey(
        Upload,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="events",
    )
    action = models.CharField(max_length=16, choices=Action)
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    request_id = models.CharField(max_length=128, blank=True, default="")
    detail: models.JSONField[dict[str, Any], dict[str, Any]] = models.JSONField(
        default=dict, blank=True
    )
    seal = models.ForeignKey(
        AuditSeal,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="events",
        help_text="The seal that covers this event; empty until it is sealed.",
    )

    objects = AppendOnlyQuerySet["UploadEvent"].as_manager()

    class Meta:
        base_manager_name = "objects"
        ordering = ("id",)
        indexes = (
            models.Index(
                fields=["id"],
                condition=models.Q(seal=None),
                name="uploadevent_unsealed",
            ),
            models.Index(fields=["-at", "-id"], name="uploadevent_newest_first"),
            # Of a million uploads come two million of these two, and few of the rest.
            models.Index(
                fields=["action", "-at", "-id"],
                condition=models.Q(action__in=UNCOMMON),
                name="uploadevent_uncommon",
            ),
            models.Index(
                fields=["at"],
                condition=models.Q(action="login_failed"),
                name="uploadevent_login_failed",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(action__in=Action.values),
                name="uploadevent_action_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(upload=None, action__in=sorted(WITHOUT_UPLOAD))
                | (
                    models.Q(upload__isnull=False)
                    & ~models.Q(action__in=sorted(WITHOUT_UPLOAD))
                ),
                name="uploadevent_upload_fits_action",
            ),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.upload_id or self.actor}"


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
