"""Everything that happened, to an upload or around the trail itself."""

from __future__ import annotations

from typing import Any

from django.db import models

from mirrorsite.append_only import AppendOnlyModel, AppendOnlyQuerySet
from uploads.models.lifecycle import UNCOMMON, WITHOUT_UPLOAD, Action
from uploads.models.seals import AuditSeal
from uploads.models.uploads import Upload


class UploadEvent(AppendOnlyModel):
    """One thing that happened; never changed, never deleted.

    It happened to an upload, except for the actions of `WITHOUT_UPLOAD`. The actor is
    text, not a reference; users and tokens keep their names, and are never deleted.
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
