"""The only place that writes the record.

An upload's row and the event that explains it are written here together, in one
transaction, or not at all. Nothing else in the project saves either model; seals are
made in uploads.audit.seals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import Error, IntegrityError
from django.utils import timezone

from uploads.audit.canonical import refuse_fractions
from uploads.exceptions import (
    AlreadyRecordedError,
    TrailUnavailableError,
    TransitionError,
)
from uploads.models import (
    ALLOWED_BEFORE,
    STATUS_AFTER,
    WITHOUT_UPLOAD,
    Action,
    Status,
    Upload,
    UploadEvent,
)
from uploads.statements import Intent, Outcome
from uploads.writing import write, write_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who acts, as far as it is known.

    `name` is `anonymous`, `user:<username>`, `token:<name>`, or
    `command:<management command>`.
    """

    name: str = "anonymous"
    user_id: int | None = None
    address: str | None = None
    user_agent: str = ""
    request_id: str = ""


def begin(
    upload: Upload,
    caller: Caller,
    action: Action = Action.REQUESTED,
    *,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write a new upload and its first event, which says `detail` beside the intent.

    Raises `AlreadyRecordedError` when its id, object key or idempotency key is taken.
    """
    upload.status = STATUS_AFTER[action]
    intent = _intent(upload) | (detail or {})
    event = _event(upload, action, caller, upload.created_at, intent)
    try:
        write(Intent(upload, event))
    except TrailUnavailableError as error:
        if isinstance(error.__cause__, IntegrityError):
            raise AlreadyRecordedError(f"{upload.pk} is recorded already") from error
        raise


def begin_again(upload: Upload, caller: Caller, *, bucket: str) -> None:
    """Write that a failed or abandoned upload is tried again, in `bucket`.

    Raises `TransitionError` when another request has begun to in the meantime.
    """
    intent = _intent(upload) | {
        "bucket": bucket,
        "client_address": caller.address,
        "user_agent": caller.user_agent,
    }
    record(
        upload,
        Action.REQUESTED,
        caller,
        detail=intent,
        only_if={"attempt_started_at": upload.attempt_started_at},
        attempt_started_at=timezone.now(),
        bucket=bucket,
        error="",
    )


def record(
    upload: Upload,
    action: Action,
    caller: Caller,
    *,
    detail: dict[str, Any] | None = None,
    only_if: Mapping[str, Any] | None = None,
    **changes: Any,
) -> None:
    """Write what happened to an upload, with `changes` to its other columns.

    Raises `TransitionError` when the action cannot follow the upload's status, or
    when the status in the database is no longer the one this object was read with,
    or a column of `only_if` has another value; nothing is written then.
    """
    before = Status(upload.status)
    if before not in ALLOWED_BEFORE.get(action, frozenset()):
        raise TransitionError(f"{action} cannot follow {before} (upload {upload.pk}).")
    changes["status"] = STATUS_AFTER[action]
    event = _event(upload, action, caller, timezone.now(), detail or {})
    write(Outcome(upload, before, changes, event, only_if or {}))
    for name, value in changes.items():
        setattr(upload, name, value)


def note(
    action: Action,
    caller: Caller,
    *,
    upload: Upload | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write that somebody looked or passed the door; no status changes.

    Raises `TrailUnavailableError`, and `TransitionError` for an action that is no
    note.
    """
    if action in STATUS_AFTER or (upload is None) != (action in WITHOUT_UPLOAD):
        raise TransitionError(f"{action} cannot be noted about {upload}.")
    event = _event(upload, action, caller, timezone.now(), detail or {})
    with write_transaction():
        event.save()


def note_error(upload: Upload, message: str) -> None:
    """Keep why a pending upload's outcome is unknown; no event, for none is known.

    The request that worked on it is over, so it may be tried again.
    """
    with write_transaction():
        Upload.objects.filter(pk=upload.pk, status=Status.PENDING).update(
            error=message, attempt_started_at=None
        )
    upload.error = message


def reload(upload: Upload) -> None:
    """Read the upload's current state; raises `TrailUnavailableError`."""
    try:
        upload.refresh_from_db()
    except Error as error:
        raise TrailUnavailableError("the database did not answer") from error


def _event(
    upload: Upload | None,
    action: Action,
    caller: Caller,
    at: datetime,
    detail: dict[str, Any],
) -> UploadEvent:
    # A number with a fraction has no canonical form, and could never be sealed.
    refuse_fractions(detail)
    return UploadEvent(
        upload_id=None if upload is None else upload.pk,
        action=action,
        at=at,
        actor=caller.name,
        request_id=caller.request_id,
        detail=detail,
    )


def _intent(upload: Upload) -> dict[str, Any]:
    """Return what is known when an upload begins, so that the event says it too."""
    return {
        "bucket": upload.bucket,
        "key": upload.key,
        "size": upload.size,
        "sha256": upload.sha256,
        "number": upload.number,
        "client_address": upload.client_address,
        "user_agent": upload.user_agent,
    }
