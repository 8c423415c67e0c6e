"""What reconciliation finds, and how it is told to go about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from django.db import models

from mirrorsite.actors import Actor
from uploads.models import Action


class Word(models.TextChoices):
    """What can be wrong between the record and the bucket."""

    PENDING_PRESENT = "pending and present"
    PENDING_ABSENT = "pending and absent"
    STORED_MISSING = "stored but missing"
    DIFFERS = "size or checksum differs"
    NO_RECORD = "object without record"
    PURGED_PRESENT = "purged but present"
    # A PUT whose answer was lost can arrive after it was given up, and an object can
    # come back (a version restored): the record then says less than what happened.
    FAILED_PRESENT = "failed but present"
    MISSING_PRESENT = "missing but present"
    # The record names another bucket than the configured one: either that is set
    # wrongly, or the bucket was changed. What lies here proves nothing of it.
    ELSEWHERE = "recorded in another bucket"
    # No object, and so nothing that a record could tell of; but parts that take room.
    UNFINISHED = "begun in parts and left"


Outcome = Literal["found", "repaired", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One disagreement. `action` is the event that settles it, when one does."""

    word: Word
    key: str
    upload_id: UUID | None
    action: Action | None
    seen: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = "found"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to reconcile.

    `fix` writes repairs; without it nothing changes. What happened less than
    `min_age` ago is left alone: it may be under way. `checksums` asks the store for
    the checksum of every object, `jobs` at a time, instead of believing size and
    ETag.
    """

    actor: Actor
    fix: bool = False
    min_age: timedelta = timedelta(minutes=15)
    checksums: bool = False
    jobs: int = 8
