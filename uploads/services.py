"""Uploading: the intent is recorded, the object put, the outcome recorded."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from mirrorsite.actors import Actor
from mirrorsite.metrics import UPLOAD_BYTES, UPLOADS
from uploads import transitions
from uploads.audit import log
from uploads.bulkhead import store_bulkhead
from uploads.exceptions import (
    KeyReusedError,
    StillRunningError,
    StoreError,
    StoreUnavailableError,
    TrailUnavailableError,
    TransitionError,
    UploadFailedError,
)
from uploads.idempotency import IdempotencyKey, fingerprint_of, longest_attempt
from uploads.models import Action, Status, Upload, new_upload_id
from uploads.payloads import RandomNumbers
from uploads.storage import upload_storage

logger = logging.getLogger(__name__)

PREFIX = "uploads/"
#: How often a request may lose the race for its idempotency key to other requests.
_MAX_LOST_RACES = 3


@dataclass(frozen=True, slots=True)
class CreatedUpload:
    """A stored upload; `is_replayed` if an earlier request with the key made it."""

    upload: Upload
    is_replayed: bool = False


def day_prefix(day: date) -> str:
    """Return the prefix of the keys of a day's objects: uploads/YYYY/MM/DD/, in UTC."""
    # Not %Y, which does not pad years before 1000 to four digits.
    return f"{PREFIX}{day.year:04}/{day.month:02}/{day.day:02}/"


def payload_of(upload_id: UUID, size: int | None) -> RandomNumbers:
    """Return the payload of an upload, seeded with its id, which is random.

    Each chunk that is read tells the bulkhead that the upload makes progress.
    """
    return RandomNumbers(
        upload_id.bytes, size, on_chunk=store_bulkhead().report_progress
    )


def create_upload(
    *,
    actor: Actor,
    size: int | None = None,
    idempotency_key: IdempotencyKey | None = None,
) -> CreatedUpload:
    """Put a random text into the bucket and record it.

    `size` is in bytes; None means a single number from 0 to 9999. All requests with one
    key make one upload: an attempt that failed or was interrupted is repeated under the
    same id and object key.

    Raises `TrailUnavailableError` when the database is unavailable before the PUT (then
    nothing is put) or after it (then the record stays pending), `UploadFailedError` when
    the store refuses or is unavailable (the record is then failed, or pending if the
    object may exist), `KeyReusedError` when the key was used with another body,
    `StillRunningError` while another request is processing it, and `StoreBusyError`, with
    nothing recorded, when too many requests use the store.
    """
    payload: RandomNumbers | None
    with store_bulkhead().permit(actor.quota_key):
        try:
            if idempotency_key is None:
                upload, payload = _begin(new_upload_id(), size, actor)
            else:
                upload, payload = _begin_or_find(idempotency_key, size, actor)
        except TrailUnavailableError:
            UPLOADS.labels("unrecorded").inc()
            raise
        if payload is None:
            return CreatedUpload(upload, is_replayed=True)
        try:
            _put(upload, payload, actor)
        except TrailUnavailableError as error:
            # Reconciliation looks at the bucket and completes the record.
            logger.warning(
                "upload=%s outcome not recorded; it stays pending: %s",
                upload.pk,
                error,
                exc_info=error,
            )
            error.upload_id = upload.pk
            raise
        finally:
            UPLOADS.labels(upload.status).inc()
    return CreatedUpload(upload)


# --- Intent -----------------------------------------------------------------------


def _begin(
    upload_id: UUID, size: int | None, actor: Actor, key: IdempotencyKey | None = None
) -> tuple[Upload, RandomNumbers]:
    """Record the intent; raises `AlreadyRecordedError`, `TrailUnavailableError`."""
    payload = payload_of(upload_id, size)
    now = timezone.now()
    upload = Upload(
        id=upload_id,
        bucket=upload_storage().bucket_name,
        key=f"{day_prefix(now)}{upload_id}.txt",
        size=payload.size,
        sha256=payload.sha256,
        number=payload.number,
        requester_id=actor.user_id,
        requester_name=actor.name,
        client_address=actor.address,
        user_agent=actor.user_agent[:512],
        request_id=actor.request_id,
        created_at=now,
    )
    if key is not None:
        upload.idempotency_scope = key.scope
        upload.idempotency_key = key.key
        upload.idempotency_fingerprint = fingerprint_of(size)
        upload.attempt_started_at = now
    transitions.record_intent(upload, actor)
    return upload, payload


def _begin_or_find(
    key: IdempotencyKey, size: int | None, actor: Actor
) -> tuple[Upload, RandomNumbers | None]:
    """Begin an attempt under `key`, or find the upload that an earlier one stored.

    Return the upload and its payload, which is None if the upload was ever stored.
    Raises as `create_upload`.
    """
    for _ in range(_MAX_LOST_RACES):
        upload = _find(key)
        try:
            if upload is None:
                return _begin(key.upload_id, size, actor, key)
            _require_same_request(upload, size)
            if _is_finished(upload):
                return upload, None
            _begin_again(upload, actor)
        except TransitionError:  # an AlreadyRecordedError is one, too
            continue  # another request with this key was faster
        return upload, payload_of(upload.pk, size)
    raise StillRunningError("another request is using this key", seconds=1)


def _begin_again(upload: Upload, actor: Actor) -> None:
    """Record a further attempt on an upload that failed or was abandoned.

    Raises `StillRunningError` if a request may still be working on it,
    `TransitionError` when another one began an attempt just now, and
    `UploadFailedError` if an earlier attempt in another bucket may have succeeded.
    """
    storage = upload_storage()
    started: datetime | None = upload.attempt_started_at
    if upload.status != Status.FAILED and started is not None:
        # A time in the future is that of a clock that was wrong.
        elapsed = abs(timezone.now() - started)
        left = longest_attempt(upload.size, storage) - elapsed
        if left > timedelta(0):
            raise StillRunningError(
                "a request with this key is being processed",
                seconds=left.total_seconds(),
            )
    if upload.status != Status.FAILED and upload.bucket != storage.bucket_name:
        # The other bucket may hold the object, and only this record mentions it.
        raise UploadFailedError(
            "an earlier attempt was for another bucket, with an unknown outcome",
            upload=upload,
        )
    transitions.record_new_attempt(upload, actor, bucket=storage.bucket_name)


# --- Put and outcome --------------------------------------------------------------


def _put(upload: Upload, payload: RandomNumbers, actor: Actor) -> None:
    """Put the object of an upload whose intent is recorded, and record the outcome.

    Raises `UploadFailedError` when the store refuses or is unavailable, or when the
    record is `corrupted` or `purged` by the time the object is stored; and
    `TrailUnavailableError`.
    """
    # Not the time of day, which may be set during the attempt.
    started = monotonic()

    # Called before each further attempt, so that `duration` is that of the last one only.
    def on_retry(attempt: int, error: StoreError) -> None:
        nonlocal started
        started = monotonic()
        detail = {"attempt": attempt, "error": str(error)[:1000]}
        try:
            transitions.record_event(
                Action.RETRIED, actor, upload=upload, detail=detail
            )
        except TrailUnavailableError as trail_error:
            logger.warning("upload=%s retry not recorded: %s", upload.pk, trail_error)

    metadata = {"upload-id": str(upload.pk), "request-id": upload.request_id}
    try:
        stored = upload_storage().put_new(
            upload.key, payload, metadata, on_retry=on_retry
        )
    except StoreError as error:
        _record_failure(upload, error, actor)
        raise UploadFailedError(str(error), upload=upload) from error
    now = timezone.now()
    _record_outcome(
        upload,
        Action.STORED,
        actor,
        detail={
            "size": stored.size,
            "sha256": stored.sha256,
            "etag": stored.etag,
            "version_id": stored.version_id,
        },
        etag=stored.etag,
        version_id=stored.version_id,
        stored_at=now,
        duration=timedelta(seconds=monotonic() - started),
        error="",
    )
    UPLOAD_BYTES.inc(stored.size)


def _record_failure(upload: Upload, error: StoreError, actor: Actor) -> None:
    message = str(error)[:1000]
    logger.warning("upload=%s: putting the object failed: %s", upload.pk, message)
    if isinstance(error, StoreUnavailableError) and error.outcome_unknown:
        transitions.record_unknown_outcome(upload, message)
    else:
        _record_outcome(
            upload,
            Action.FAILED,
            actor,
            detail={"error": message},
            # Another attempt may have begun, and may store the object.
            only_if={"attempt_started_at": upload.attempt_started_at},
            error=message,
        )


def _record_outcome(
    upload: Upload, action: Action, actor: Actor, **values: Any
) -> None:
    """Record the outcome, even if another writer has changed the upload in between.

    In that case the outcome `stored` replaces a status `failed` or `missing`, and the
    outcome `failed` is not recorded: the next reconciliation corrects the status if it is
    wrong. Raises `UploadFailedError` when the object was stored but its record is by now
    `corrupted` or `purged`.
    """
    while True:
        try:
            transitions.record(upload, action, actor, **values)
            return
        except TransitionError:
            with log.database_errors():
                upload.refresh_from_db()
        if action != Action.STORED or upload.status == Status.STORED:
            return
        if upload.status not in transitions.ALLOWED_BEFORE[action]:
            raise UploadFailedError(
                "the object was stored, but its record has changed since",
                upload=upload,
            )


# --- Idempotency keys -------------------------------------------------------------


def _find(key: IdempotencyKey) -> Upload | None:
    """Return the upload of this idempotency key; raises `TrailUnavailableError`."""
    # Neither condition is enough alone: a record that reconciliation made from the object
    # has no key, and the id is derived with SECRET_KEY, which may have changed since.
    by_id = Q(pk=key.upload_id)
    by_columns = Q(idempotency_scope=key.scope, idempotency_key=key.key)
    with log.database_errors():
        found = {
            upload.pk: upload for upload in Upload.objects.filter(by_id | by_columns)
        }
    return found.get(key.upload_id) or next(iter(found.values()), None)


def _require_same_request(upload: Upload, size: int | None) -> None:
    if upload.idempotency_key:
        is_same = upload.idempotency_fingerprint == fingerprint_of(size)
    else:  # recorded by reconciliation, without a key: compare the bytes
        is_same = upload.sha256 == payload_of(upload.pk, size).sha256
    if not is_same:
        raise KeyReusedError("the key was used with another body", upload=upload)


def _is_finished(upload: Upload) -> bool:
    """Return True if the upload was stored, even if its object is lost or purged by now.

    Return False if it may be attempted again: then it is pending or failed.
    Raises `UploadFailedError` if another object has its object key.
    """
    if upload.status in {Status.PENDING, Status.FAILED}:
        return False
    if upload.stored_at is None:
        # Reconciliation found another object under the object key: no attempt can succeed.
        raise UploadFailedError("another object has this key", upload=upload)
    return True
