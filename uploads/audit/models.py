"""The audit trail's tables: the events, and the signed seals over them.

Both models have the app label `uploads`: the names of their tables and permissions, and
their URLs in the admin, begin with it.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.lookups import Exact

from mirrorsite.models import readable_times


class Action(models.TextChoices):
    """What an event records, about an upload or without one (`WITHOUT_UPLOAD`)."""

    REQUESTED = "requested", "Requested"
    STORED = "stored", "Stored"
    FAILED = "failed", "Failed"
    VERIFIED = "verified", "Verified"
    MISSING = "missing", "Missing"
    CORRUPTED = "corrupted", "Corrupted"
    ADOPTED = "adopted", "Adopted"
    PURGED = "purged", "Purged"
    # Events that do not change the upload's status.
    RETRIED = "retried", "Retried"
    DOWNLOADED = "downloaded", "Downloaded"
    PROOF_SHOWN = "proof_shown", "Proof shown"
    # Events without an upload.
    EXPORTED = "exported", "Exported"
    LOGGED_IN = "logged_in", "Logged in"
    LOGIN_FAILED = "login_failed", "Login failed"
    LOGGED_OUT = "logged_out", "Logged out"
    TOKEN_CREATED = "token_made", "Token created"
    TOKEN_REVOKED = "token_revoked", "Token revoked"
    USER_CREATED = "user_made", "User created"
    USER_CHANGED = "user_changed", "User changed"
    GROUP_CREATED = "group_made", "Group created"
    GROUP_CHANGED = "group_changed", "Group changed"
    GROUP_DELETED = "group_deleted", "Group deleted"
    AUDIT_CHECKED = "audit_checked", "Audit checked"
    EVENTS_RESTORED = "events_restored", "Events restored"


#: Actions of events that concern no upload; events of all others concern one.
WITHOUT_UPLOAD: frozenset[Action] = frozenset(
    {
        Action.EXPORTED,
        Action.LOGGED_IN,
        Action.LOGIN_FAILED,
        Action.LOGGED_OUT,
        Action.TOKEN_CREATED,
        Action.TOKEN_REVOKED,
        Action.USER_CREATED,
        Action.USER_CHANGED,
        Action.GROUP_CREATED,
        Action.GROUP_CHANGED,
        Action.GROUP_DELETED,
        Action.AUDIT_CHECKED,
        Action.EVENTS_RESTORED,
    }
)

#: Every action except the two that each successful upload records.
UNCOMMON_ACTIONS: tuple[Action, ...] = tuple(
    a for a in Action if a not in {Action.REQUESTED, Action.STORED}
)

#: The condition, in SQL, that Python's JSON parser can read a detail: it refuses deep
#: nesting and long numbers.
_READABLE = """
octet_length(%(expressions)s::text) <= 1048576
AND NOT jsonb_path_exists(%(expressions)s, '$.**{32}')
AND NOT jsonb_path_exists(
    %(expressions)s,
    'strict $.** ? (@ < -9223372036854775808 || @ > 9223372036854775807)'
)
"""


class AuditSeal(models.Model):
    """A signed statement over a set of events; never changed, never deleted.

    Each seal has the hash of the previous one, so the seals form a chain. A seal's root
    changes with any of its events. A seal without events shows that nothing was
    recorded since the previous one.
    """

    number = models.BigIntegerField(primary_key=True, help_text="Counts from 1.")
    sealed_at = models.DateTimeField()
    first_event = models.BigIntegerField(null=True, help_text="Lowest event id.")
    last_event = models.BigIntegerField(null=True, help_text="Highest event id.")
    event_count = models.BigIntegerField()
    root = models.CharField(max_length=64, help_text="SHA-256 over the events.")
    previous = models.CharField(
        max_length=64,
        unique=True,
        help_text="Hash of the previous seal; zeros in the first.",
    )
    signature = models.CharField(max_length=128, help_text="Ed25519, hexadecimal.")
    key_id = models.CharField(max_length=64)
    next_key = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="The public key that the seal announces, hexadecimal; empty if there is none.",
    )
    object_key = models.CharField(
        max_length=1024, help_text="The key of its copy in the bucket."
    )

    class Meta:
        app_label = "uploads"
        ordering = ("number",)
        constraints = (readable_times("auditseal_time_is_readable", "sealed_at"),)

    def __str__(self) -> str:
        return f"seal {self.number}"


class UploadEvent(models.Model):
    """One thing that happened; never changed, never deleted.

    The actor is a name, not a foreign key. The name stays valid, because users and
    tokens are never renamed or deleted.
    """

    id = models.BigAutoField(primary_key=True)
    upload = models.ForeignKey(
        "uploads.Upload",
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

    class Meta:
        app_label = "uploads"
        ordering = ("id",)
        indexes = (
            models.Index(
                fields=["id"],
                condition=models.Q(seal=None),
                name="uploadevent_unsealed",
            ),
            models.Index(fields=["-at", "-id"], name="uploadevent_newest_first"),
            # A million uploads have two million common events, and few uncommon ones.
            models.Index(
                fields=["action", "-at", "-id"],
                condition=models.Q(action__in=UNCOMMON_ACTIONS),
                name="uploadevent_uncommon",
            ),
        )
        constraints = (
            # A single constraint also for unknown actions: PostgreSQL parses a table's
            # constraints for each statement, and lists of values take long.
            models.CheckConstraint(
                condition=models.Q(upload=None, action__in=sorted(WITHOUT_UPLOAD))
                | models.Q(
                    upload__isnull=False,
                    action__in=sorted(set(Action) - WITHOUT_UPLOAD),
                ),
                name="uploadevent_upload_fits_action",
            ),
            models.CheckConstraint(
                condition=Exact(
                    models.Func(
                        "detail",
                        function="jsonb_typeof",
                        output_field=models.TextField(),
                    ),
                    "object",
                ),
                name="uploadevent_detail_is_object",
            ),
            models.CheckConstraint(
                condition=models.Func(
                    "detail", template=_READABLE, output_field=models.BooleanField()
                ),
                name="uploadevent_detail_is_readable",
            ),
            readable_times("uploadevent_time_is_readable", "at"),
        )

    def __str__(self) -> str:
        return f"{self.action} {self.upload_id or self.actor}"
