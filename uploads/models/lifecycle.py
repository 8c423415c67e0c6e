"""Which action may follow which status of an upload, and the status it leaves behind."""

from __future__ import annotations

from django.db import models

from uploads.audit.models import Action


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
    # Failed and missing too: an object can appear after the upload was given up.
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
