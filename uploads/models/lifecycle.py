"""What can happen to an upload, and the status that it leaves behind."""

from __future__ import annotations

from django.db import models


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
    # Events that change no status.
    RETRIED = "retried", "Retried"
    DOWNLOADED = "downloaded", "Downloaded"
    PROOF_SHOWN = "proof_shown", "Proof shown"
    # Such events without an upload.
    EXPORTED = "exported", "Exported"
    LOGGED_IN = "logged_in", "Logged in"
    LOGIN_FAILED = "login_failed", "Login failed"
    LOGGED_OUT = "logged_out", "Logged out"
    TOKEN_MADE = "token_made", "Token made"
    TOKEN_REVOKED = "token_revoked", "Token revoked"
    USER_MADE = "user_made", "User made"
    USER_CHANGED = "user_changed", "User changed"
    GROUP_MADE = "group_made", "Group made"
    GROUP_CHANGED = "group_changed", "Group changed"
    GROUP_DELETED = "group_deleted", "Group deleted"
    AUDIT_CHECKED = "audit_checked", "Audit checked"
    EVENTS_RESTORED = "events_restored", "Events restored"


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

#: Notes about no upload; every other action has one.
WITHOUT_UPLOAD: frozenset[Action] = frozenset(
    {
        Action.EXPORTED,
        Action.LOGGED_IN,
        Action.LOGIN_FAILED,
        Action.LOGGED_OUT,
        Action.TOKEN_MADE,
        Action.TOKEN_REVOKED,
        Action.USER_MADE,
        Action.USER_CHANGED,
        Action.GROUP_MADE,
        Action.GROUP_CHANGED,
        Action.GROUP_DELETED,
        Action.AUDIT_CHECKED,
        Action.EVENTS_RESTORED,
    }
)

#: Every action but the two of a normal upload.
UNCOMMON: tuple[Action, ...] = tuple(
    a for a in Action if a not in {Action.REQUESTED, Action.STORED}
)
