"""The only module that writes the audit log.

An upload's row and the event that explains it are written together, or not at all.
Nothing else in the project saves either model; seals are made in uploads.audit.seals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import Error, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from mirrorsite.actors import Actor
from mirrorsite.database import reason
from uploads.audit import sql
from uploads.audit.canonical import refuse_fractions
from uploads.exceptions import TrailUnavailableError, TransitionError
from uploads.models import (
    ALLOWED_BEFORE,
    STATUS_AFTER,
    WITHOUT_UPLOAD,
    Action,
    Status,
    Upload,
)


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


def record_intent(
    upload: Upload,
    actor: Actor,
    action: Action = Action.REQUESTED,
    *,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write a new upload and its first event: the intent, and `detail`.

    Raises `AlreadyRecordedError` if its id, object key or idempotency key is taken, and
    `TrailUnavailableError`.
    """
    upload.status = STATUS_AFTER[action]
    intent = _intent(upload) | (detail or {})
    sql.insert_upload(upload, _event(action, actor, upload.created_at, intent))


def record_new_attempt(upload: Upload, actor: Actor, *, bucket: str) -> None:
    """Write that a failed or abandoned upload is attempted again, in `bucket`.

    Raises `TransitionError` if another request has begun an attempt, and
    `TrailUnavailableError`.
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
    """Write an event that decides an upload's status, with `changes` to other columns.

    Writes nothing and raises `TransitionError` if the action cannot follow the upload's
    status, or if its row no longer has the status of `upload` and the values of
    `only_if`. Raises `TrailUnavailableError`.
    """
    before = Status(upload.status)
    if before not in ALLOWED_BEFORE.get(action, frozenset()):
        raise TransitionError(f"{action} cannot follow {before} (upload {upload.pk}).")
    changes["status"] = STATUS_AFTER[action]
    event = _event(action, actor, timezone.now(), detail or {})
    conditions = {"status": before, **(only_if or {})}
    if not sql.update_upload(upload.pk, conditions, changes, event):
        raise TransitionError(f"upload {upload.pk} is no longer {before}.")
    for name, value in changes.items():
        setattr(upload, name, value)


def record_event(
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
        raise TransitionError(f"{action} is no event of its own about {upload}.")
    event = _event(action, actor, timezone.now(), detail or {})
    sql.insert_event(event, None if upload is None else upload.pk)


def record_unknown_outcome(upload: Upload, message: str) -> None:
    """Keep why a pending upload's outcome is unknown. Writes no event: none is known.

    The request that worked on it has ended, so another attempt may begin.
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
    """Return what is known when an upload begins, for its first event."""
    return {
        "bucket": upload.bucket,
        "key": upload.key,
        "size": upload.size,
        "sha256": upload.sha256,
        "number": upload.number,
        "client_address": upload.client_address,
        "user_agent": upload.user_agent,
    }
