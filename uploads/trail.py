"""The only place that writes the record.

An upload's row and the event that explains it are written here together, in one
transaction, or not at all. Nothing else in the project saves either model; seals are
made in uploads.audit.seals.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DataError, Error, IntegrityError, connection, transaction
from django.utils import timezone

from uploads import statements, summaries
from uploads.audit.canonical import refuse_fractions
from uploads.exceptions import (
    AlreadyRecordedError,
    TrailUnavailableError,
    TransitionError,
)
from uploads.group_commit import GroupCommit, GroupLostError
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

_sqlite_turn = threading.RLock()

Write = Intent | Outcome


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


@contextmanager
def write_transaction() -> Iterator[None]:
    """Open a transaction that writes.

    SQLite has one writer, and its busy handler sleeps ever longer while it waits:
    with the threads of a process taking turns at a lock, none starves. Neither wait is
    longer than `settings.SQLITE_LOCK_SECONDS`.

    Raises `TrailUnavailableError` when the database is away, does not commit, or is
    held by others for so long.
    """
    try:
        if connection.vendor == "sqlite":
            with _turn_on_sqlite(), transaction.atomic():
                yield
        else:
            with transaction.atomic():
                yield
    except Error as error:
        raise _unavailable(error) from error


@contextmanager
def _turn_on_sqlite() -> Iterator[None]:
    if not _sqlite_turn.acquire(timeout=settings.SQLITE_LOCK_SECONDS):
        raise TrailUnavailableError("the database is held by other writers")
    try:
        yield
    finally:
        _sqlite_turn.release()


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
        _write(Intent(upload, event))
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
    _write(Outcome(upload, before, changes, event, only_if or {}))
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


def _write(write: Write) -> None:
    """Write by itself, or together with what other threads write meanwhile.

    Raises `TransitionError` when an outcome's upload is not as it was.
    """
    if connection.in_atomic_block or not _is_plain(write):
        _write_alone(write)
        return
    try:
        _group.submit(write)
    except GroupLostError as error:
        raise TrailUnavailableError("the record's writer was stopped") from error


def _is_plain(write: Write) -> bool:
    """Tell whether a write can neither wait for another's lock nor need a mark.

    An upload with an idempotency key may meet another request with the same key: all
    of a group would wait for that one's commit.
    """
    upload = write.upload
    return not (
        upload.idempotency_key
        or summaries.is_marked(upload.created_at)
        or (isinstance(write, Outcome) and write.only_if)
    )


def _write_group(writes: Sequence[Write]) -> list[Exception | None]:
    """Write for several threads; return for each None, or what its thread raises."""
    errors: list[Exception | None] = [None] * len(writes)
    for part in _parts(writes):
        found = _write_part([writes[index] for index in part])
        for index, error in zip(part, found, strict=True):
            errors[index] = error
    return errors


_group: GroupCommit[Write] = GroupCommit(_write_group)


def _parts(writes: Sequence[Write]) -> Iterable[Sequence[int]]:
    """Return which of the writes, by their place, go into one transaction.

    On PostgreSQL a statement is one, and takes what is of one shape.
    """
    if connection.vendor != "postgresql":
        return [range(len(writes))]
    parts: defaultdict[Hashable, list[int]] = defaultdict(list)
    times: Counter[UUID] = Counter()
    for index, write in enumerate(writes):
        shape = (
            (write.before, *write.changes) if isinstance(write, Outcome) else "intent"
        )
        # No two of one upload: the second has to see what the first wrote.
        parts[shape, times[write.upload.pk]].append(index)
        times[write.upload.pk] += 1
    return parts.values()


def _write_part(writes: Sequence[Write]) -> list[Exception | None]:
    if len(writes) == 1:
        return [_try_alone(writes[0])]
    try:
        return _write_together(writes)
    except TrailUnavailableError as error:
        if isinstance(error.__cause__, IntegrityError | DataError):
            # One of them is at fault, for which nothing of the others was written.
            return [_try_alone(write) for write in writes]
        return [TrailUnavailableError(str(error)) for _ in writes]


def _write_together(writes: Sequence[Write]) -> list[Exception | None]:
    if connection.vendor != "postgresql":
        with write_transaction():
            return [_no_longer(w) if not _carry_out(w) else None for w in writes]
    intents = [write for write in writes if isinstance(write, Intent)]
    outcomes = [write for write in writes if isinstance(write, Outcome)]
    try:
        if intents:
            statements.insert_all(intents)
            return [None] * len(intents)
        written = statements.update_all(outcomes)
    except Error as error:
        raise _unavailable(error) from error
    return [None if w.upload.pk in written else _no_longer(w) for w in outcomes]


def _try_alone(write: Write) -> Exception | None:
    try:
        _write_alone(write)
    except (TrailUnavailableError, TransitionError) as error:
        return error
    return None


def _write_alone(write: Write) -> None:
    """Write and mark the hour that it changes.

    On PostgreSQL it is one statement where there is no mark, and commits by itself.
    """
    upload = write.upload
    is_change = isinstance(write, Intent) or write.changes["status"] != write.before
    marks = is_change and summaries.is_marked(upload.created_at)
    if (
        connection.vendor == "postgresql"
        and not marks
        and not connection.in_atomic_block
    ):
        try:
            written = _carry_out(write)
        except Error as error:
            raise _unavailable(error) from error
    else:
        with write_transaction():
            written = _carry_out(write)
            if written and is_change:
                summaries.mark_changed(upload.created_at)
    if not written:
        raise _no_longer(write)


def _carry_out(write: Write) -> bool:
    """Write; tell whether there was anything to write."""
    if isinstance(write, Outcome):
        return statements.update(write)
    statements.insert(write)
    return True


def _no_longer(write: Write) -> TransitionError:
    before = write.before if isinstance(write, Outcome) else "new"
    return TransitionError(f"upload {write.upload.pk} is no longer {before}.")


def _unavailable(error: Error) -> TrailUnavailableError:
    return TrailUnavailableError(
        f"the database did not take the record: {type(error).__name__}"
    )


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
