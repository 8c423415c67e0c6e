"""Which actions may follow which status of an upload, and the writes that record them.

A status changes only together with its event, in one statement. Only
`record_unknown_outcome`, which leaves the status unchanged, writes a row without an
event. Elsewhere only uploads.projection writes uploads: it restores rows from their
events. Each write raises `TrailUnavailableError` when the database is unavailable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from django.utils import timezone

from mirrorsite.actors import Actor
from uploads.audit import log
from uploads.exceptions import TransitionError
from uploads.models import Action, Status, Upload

#: The status after each action; an action that is not here leaves the status unchanged.
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

#: The statuses that each action may follow; REQUESTED and ADOPTED also create uploads.
ALLOWED_BEFORE: dict[Action, frozenset[Status]] = {
    # A failed upload may be tried again under its own id and key.
    Action.REQUESTED: frozenset({Status.FAILED, Status.PENDING}),
    # Failed and missing too: the object can appear after either was recorded.
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
    # Purged too: deleted again when the object was still in the bucket.
    Action.PURGED: frozenset(
        {Status.STORED, Status.MISSING, Status.CORRUPTED, Status.PURGED}
    ),
}

# ruff: noqa: S608 the statements hold names of tables and columns, and no values
_TABLE = Upload._meta.db_table
_COLUMNS = [field.column for field in Upload._meta.concrete_fields]
_values = attrgetter(*(field.attname for field in Upload._meta.concrete_fields))
_INSERT = log.with_event(
    f"INSERT INTO {_TABLE} ({', '.join(_COLUMNS)})"
    f" VALUES ({', '.join(f'${n}' for n, _ in enumerate(_COLUMNS, 6))})"
)


def record_intent(
    upload: Upload,
    actor: Actor,
    action: Action = Action.REQUESTED,
    *,
    detail: dict[str, Any] | None = None,
) -> None:
    """Insert an upload and its first event, which has the intent and `detail`.

    Raises `AlreadyRecordedError` if its id, object key or idempotency key is taken.
    """
    upload.status = STATUS_AFTER[action]
    intent = _intent(upload) | (detail or {})
    log.write(_INSERT, _values(upload), action, actor, intent, upload.created_at)
    upload._state.adding = False


def record_new_attempt(upload: Upload, actor: Actor, *, bucket: str) -> None:
    """Record that a failed or abandoned upload is attempted again, in `bucket`.

    Raises `TransitionError` if another request has started an attempt.
    """
    intent = _intent(upload) | {
        "bucket": bucket,
        "client_address": actor.address,
        "user_agent": actor.user_agent,
    }
    record(
        upload,
        Action.REQUESTED,
        actor,
        detail=intent,
        only_if={"attempt_started_at": upload.attempt_started_at},
        attempt_started_at=timezone.now(),
        bucket=bucket,
        error="",
    )


def record(
    upload: Upload,
    action: Action,
    actor: Actor,
    *,
    detail: dict[str, Any] | None = None,
    only_if: Mapping[str, Any] | None = None,
    **changes: Any,
) -> None:
    """Record an event, the status that follows from it, and `changes` to other columns.

    Writes nothing and raises `TransitionError` if the action cannot follow the upload's
    status, or if its row no longer has the status of `upload` and the values of
    `only_if`.
    """
    before = Status(upload.status)
    if before not in ALLOWED_BEFORE.get(action, frozenset()):
        raise TransitionError(f"{action} cannot follow {before} (upload {upload.pk}).")
    if action == Action.VERIFIED and upload.stored_at is None:
        # No attempt was recorded as stored, but the object is in the bucket after all.
        changes |= {"stored_at": timezone.now(), "error": ""}
    changes["status"] = STATUS_AFTER[action]
    conditions = {"status": before, **(only_if or {})}
    values = [upload.pk, *changes.values(), *conditions.values()]
    update = _update(tuple(changes), tuple(conditions))
    if log.write(update, values, action, actor, detail, may_add_none=True) == 0:
        raise TransitionError(f"upload {upload.pk} is no longer {before}.")
    for name, value in changes.items():
        setattr(upload, name, value)


def record_event(
    action: Action,
    actor: Actor,
    *,
    upload: Upload,
    detail: dict[str, Any] | None = None,
) -> None:
    """Record an event that does not change an upload's status.

    Raises `TransitionError` for an action that does.
    """
    if action in STATUS_AFTER:
        raise TransitionError(
            f"{action} changes the status of upload {upload.pk}; `record_event` cannot"
            " record it."
        )
    log.write(log.INSERT_EVENT, [upload.pk], action, actor, detail)


def record_unknown_outcome(upload: Upload, message: str) -> None:
    """Save why a pending upload's outcome is unknown; there is no event for that.

    The request that worked on it has ended, so another attempt may begin, unless one has
    begun already.
    """
    with log.database_errors():
        Upload.objects.filter(
            pk=upload.pk,
            status=Status.PENDING,
            attempt_started_at=upload.attempt_started_at,
        ).update(error=message, attempt_started_at=None)
    upload.error = message


def _intent(upload: Upload) -> dict[str, Any]:
    """Return what is known before the object is put, for the event of the attempt."""
    return {
        "bucket": upload.bucket,
        "key": upload.key,
        "size": upload.size,
        "sha256": upload.sha256,
        "number": upload.number,
        "client_address": upload.client_address,
        "user_agent": upload.user_agent,
    }


@cache
def _update(changes: Sequence[str], conditions: Sequence[str]) -> str:
    """Return the statement that updates an upload and adds its event.

    `changes` and `conditions` are names of columns; it does nothing unless those of
    `conditions` have their expected values. Its parameters are the event's five columns,
    the upload's id, the new values, and the expected values.
    """
    assignments = ", ".join(f"{c} = ${n}" for n, c in enumerate(changes, 7))
    # IS NOT DISTINCT FROM is "=" that is also true for two nulls. It cannot use an index,
    # and need not: the row is found by its primary key.
    where = "id = $6" + "".join(
        f" AND {c} IS NOT DISTINCT FROM ${n}"
        for n, c in enumerate(conditions, 7 + len(changes))
    )
    return log.with_event(f"UPDATE {_TABLE} SET {assignments} WHERE {where}")
