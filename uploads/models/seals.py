"""The signed statements over events."""

from __future__ import annotations

from django.db import models

from mirrorsite.append_only import AppendOnlyModel, AppendOnlyQuerySet


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
