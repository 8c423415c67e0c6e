"""What reconciliation finds, and its options."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from django.db import models

from mirrorsite.actors import Actor
from uploads.models import Action


class FindingKind(models.TextChoices):
    """How the bucket and the records can disagree."""

    PENDING_PRESENT = "pending and present"
    PENDING_ABSENT = "pending and absent"
    STORED_MISSING = "stored but missing"
    DIFFERS = "size or checksum differs"
    NO_RECORD = "object without record"
    PURGED_PRESENT = "purged but present"
    # A PUT whose answer was lost can arrive after the upload was recorded as failed, and
    # a deleted object can be restored from a version.
    FAILED_PRESENT = "failed but present"
    MISSING_PRESENT = "missing but present"
    # The record names another bucket than the configured one, so objects in the
    # configured one prove nothing about it.
    ELSEWHERE = "recorded in another bucket"
    # There is no object to record, but the parts take space.
    UNFINISHED = "unfinished multipart upload"


Outcome = Literal["found", "repaired", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement. `action` is the event that resolves it, if there is one."""

    kind: FindingKind
    key: str
    upload_id: UUID | None
    action: Action | None
    seen: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = "found"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to reconcile.

    `fix` writes repairs; without it nothing changes. What happened less than `min_age`
    ago is skipped: it may be in progress.
    """

    actor: Actor
    fix: bool = False
    min_age: timedelta = timedelta(minutes=15)
