"""Writes events, and each upload's row together with the event that explains it.

No other module saves either model, but for `uploads.audit.restore`. Seals are written in
`uploads.audit.chain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import Error, IntegrityError, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from mirrorsite.actors import Actor
from mirrorsite.database import reason
from uploads.audit import sql
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
)

#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNIQUE_VIOLATION = "23505"


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise `TrailUnavailableError` for errors of the database, lock timeouts included."""
    try:
        yield
    except Error as error:
        raise TrailUnavailableError(
            f"the database did not take the record: {reason(error)}"
        ) from error


@contextmanager
def write_transaction() -> Iterator[None]:
    """Open a transaction that writes; raises `TrailUnavailableError`."""
    with database_errors(), transaction.atomic():
        yield


def begin(
    upload: Upload,
    actor: Actor,
    action: Action = Action.REQUESTED,
    *,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write a new upload and its first event: the intent, and `detail`.

    Raises `AlreadyRecordedError` when its id, object key or idempotency key is taken.
    """
    upload.status = STATUS_AFTER[action]
    intent = _intent(upload) | (detail or {})
    event = _event(action, actor, upload.created_at, intent)
    with database_errors():
        try:
            sql.insert_upload(upload, event)
        except IntegrityError as error:
            if getattr(error.__cause__, "sqlstate", None) != _UNIQUE_VIOLATION:
                raise
            raise AlreadyRecordedError(f"{upload.pk} is recorded already") from error


def begin_again(upload: Upload, actor: Actor, *, bucket: str) -> None:
    """Record that a failed or abandoned upload is attempted again, in `bucket`.

    Raises `TransitionError` when another request has started an attempt.
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
    """Record an action on an upload, with `changes` to its other columns.

    Raises `TransitionError`, and writes nothing, when the action cannot follow the
    upload's status, or when the row's status or a column of `only_if` has changed.
    """
    before = Status(upload.status)
    if before not in ALLOWED_BEFORE.get(action, frozenset()):
        raise TransitionError(f"{action} cannot follow {before} (upload {upload.pk}).")
    changes["status"] = STATUS_AFTER[action]
    event = _event(action, actor, timezone.now(), detail or {})
    conditions = {"status": before, **(only_if or {})}
    with database_errors():
        is_written = sql.update_upload(upload.pk, conditions, changes, event)
    if not is_written:
        raise TransitionError(f"upload {upload.pk} is no longer {before}.")
    for name, value in changes.items():
        setattr(upload, name, value)


def note(
    action: Action,
    actor: Actor,
    *,
    upload: Upload | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write an event that does not change an upload's status.

    Raises `TrailUnavailableError`, and `TransitionError` for any other action.
    """
    if action in STATUS_AFTER or (upload is None) != (action in WITHOUT_UPLOAD):
        raise TransitionError(f"{action} cannot be noted about {upload}.")
    event = _event(action, actor, timezone.now(), detail or {})
    with database_errors():
        sql.insert_event(event, None if upload is None else upload.pk)


def note_error(upload: Upload, message: str) -> None:
    """Store why a pending upload's outcome is unknown; this is not an event.

    The attempt is over, so another one may start.
    """
    with database_errors():
        Upload.objects.filter(pk=upload.pk, status=Status.PENDING).update(
            error=message, attempt_started_at=None
        )
    upload.error = message


def reload(upload: Upload) -> None:
    """Read the upload's current state; raises `TrailUnavailableError`."""
    with database_errors():
        upload.refresh_from_db()


def _event(
    action: Action, actor: Actor, at: datetime, detail: dict[str, Any]
) -> sql.Event:
    # A number with a fraction has no canonical form, and could never be sealed.
    refuse_fractions(detail)
    return sql.Event(action, at, actor.name, actor.request_id, Jsonb(detail))


def _intent(upload: Upload) -> dict[str, Any]:
    """Return the columns that are known when an upload begins, for its event."""
    return {
        "bucket": upload.bucket,
        "key": upload.key,
        "size": upload.size,
        "sha256": upload.sha256,
        "number": upload.number,
        "client_address": upload.client_address,
        "user_agent": upload.user_agent,
    }
