"""Uploading, in the order that keeps the promise: intent, act, outcome."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from mirrorsite.actors import Actor
from mirrorsite.metrics import observe_upload
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
from uploads.models import ALLOWED_BEFORE, Action, Status, Upload, new_upload_id
from uploads.payloads import RandomNumbers
from uploads.storage import StoredObject, storage_of, upload_storage

logger = logging.getLogger(__name__)

PREFIX = "uploads/"
#: How often a request may lose the race for its idempotency key.
_RACES = 3


@dataclass(frozen=True, slots=True)
class CreatedUpload:
    """A stored upload; `is_replayed` if an earlier request with the key made it."""

    upload: Upload
    is_replayed: bool = False


def object_key(upload_id: UUID, at: datetime) -> str:
    """Return the key of an upload's object: uploads/YYYY/MM/DD/<id>.txt, in UTC."""
    return f"{PREFIX}{at.year:04}/{at.month:02}/{at.day:02}/{upload_id}.txt"


def payload_of(upload_id: UUID, size: int | None) -> RandomNumbers:
    """Return the payload of an upload; its id is random, and so is what follows."""
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
    key make one upload: an attempt that failed or lost its worker is repeated under the
    same id and object key.

    Raises `TrailUnavailableError` when the database is unavailable (before the PUT, when
    nothing was put; or after it, when the record stays pending), `UploadFailedError`
    when the store refuses or is unavailable (the record then says failed, or pending
    where the object may exist), `KeyReusedError` when the key came with another body,
    and `StillRunningError` while another request works on it.
    """
    key = idempotency_key
    upload_id = new_upload_id() if key is None else key.upload_id
    for _ in range(_RACES):
        upload = None if key is None else _find(key)
        try:
            if upload is None:
                payload = payload_of(upload_id, size)
                upload = _begin(upload_id, payload, actor, _key_columns(key, size))
                started_at = upload.created_at
            else:
                _require_same_request(upload, size)
                if _is_finished(upload):
                    return CreatedUpload(upload, is_replayed=True)
                payload = payload_of(upload.pk, size)
                _begin_again(upload, actor)
                started_at = upload.attempt_started_at or upload.created_at
        except TransitionError:
            if key is None:
                raise
            continue  # another request with this key was faster
        _put(upload, payload, actor, started_at)
        return CreatedUpload(upload)
    raise StillRunningError("another request works on this key", seconds=1)


# --- Intent -----------------------------------------------------------------------


def _begin(
    upload_id: UUID, payload: RandomNumbers, actor: Actor, key_columns: dict[str, str]
) -> Upload:
    """Record the intent; raises `AlreadyRecordedError`, `TrailUnavailableError`."""
    now = timezone.now()
    upload = Upload(
        id=upload_id,
        bucket=upload_storage().bucket_name,
        key=object_key(upload_id, now),
        size=payload.size,
        sha256=payload.sha256,
        number=payload.number,
        requester_id=actor.user_id,
        requester_name=actor.name,
        client_address=actor.address,
        user_agent=actor.user_agent[:512],
        request_id=actor.request_id,
        created_at=now,
        **key_columns,
    )
    if key_columns:
        upload.attempt_started_at = timezone.now()
    try:
        log.begin(upload, actor)
    except TrailUnavailableError:
        observe_upload("unrecorded")
        raise
    return upload


def _begin_again(upload: Upload, actor: Actor) -> None:
    """Record a further attempt.

    Raises `StillRunningError`, `TransitionError` when another request began one just
    now, and `UploadFailedError` when no attempt can succeed.
    """
    _require_abandoned(upload)
    bucket = upload_storage().bucket_name
    if upload.bucket != bucket and upload.status != Status.FAILED:
        # That bucket may hold the object, and only this record tells of it.
        raise UploadFailedError(
            f"the outcome in bucket {upload.bucket} is unknown", upload=upload
        )
    log.begin_again(upload, actor, bucket=bucket)


# --- Act --------------------------------------------------------------------------


def _put(
    upload: Upload, payload: RandomNumbers, actor: Actor, started_at: datetime
) -> None:
    """Put the object of an upload whose intent is recorded, and record the outcome."""

    def on_retry(attempt: int, error: StoreError) -> None:
        nonlocal started_at
        started_at = timezone.now()
        _note_retry(upload, actor, attempt, error)

    metadata = {"upload-id": str(upload.pk), "request-id": upload.request_id}
    try:
        stored = storage_of(upload).put_new(
            upload.key, payload, metadata, on_retry=on_retry
        )
    except StoreError as error:
        _record_failure(upload, error, actor)
        raise UploadFailedError(str(error), upload=upload) from error
    _record_stored(upload, stored, actor, started_at)


def _note_retry(upload: Upload, actor: Actor, attempt: int, error: StoreError) -> None:
    """Record that an attempt failed and the next one begins; the upload goes on anyway."""
    detail = {"attempt": attempt, "error": str(error)[:1000]}
    try:
        log.note(Action.RETRIED, actor, upload=upload, detail=detail)
    except TrailUnavailableError as trail_error:
        logger.warning("upload=%s retry not recorded: %s", upload.pk, trail_error)


# --- Outcome ----------------------------------------------------------------------


def _record_stored(
    upload: Upload, stored: StoredObject, actor: Actor, started_at: datetime
) -> None:
    now = timezone.now()
    try:
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
            duration=now - started_at,
            error="",
        )
    except TrailUnavailableError as error:
        observe_upload("pending")
        # Reconciliation finds the object and completes the record.
        logger.warning(
            "upload=%s is in the bucket, its record pending: %s", upload.pk, error
        )
        raise TrailUnavailableError(str(error), upload_id=upload.pk) from error
    observe_upload("stored", stored.size)


def _record_failure(upload: Upload, error: StoreError, actor: Actor) -> None:
    message = str(error)[:1000]
    logger.warning("upload=%s failed: %s", upload.pk, message)
    try:
        if isinstance(error, StoreUnavailableError) and error.outcome_unknown:
            log.note_error(upload, message)
        else:
            _record_outcome(
                upload, Action.FAILED, actor, detail={"error": message}, error=message
            )
    except TrailUnavailableError as trail_error:
        observe_upload("pending")
        raise TrailUnavailableError(
            str(trail_error), upload_id=upload.pk
        ) from trail_error
    observe_upload(upload.status)


def _record_outcome(
    upload: Upload, action: Action, actor: Actor, **values: Any
) -> None:
    """Record the outcome, also when reconciliation has changed the status meanwhile.

    Raises `UploadFailedError` when reconciliation has found something else under the
    key than what was stored a moment ago.
    """
    while True:
        try:
            log.record(upload, action, actor, **values)
        except TransitionError:
            log.reload(upload)
        else:
            return
        # Reconciliation may have recorded the same outcome, or one that a later look
        # at the bucket corrects; it stands unless this one says more. Each repetition
        # needs another writer, so there are few.
        if action != Action.STORED or upload.status == Status.STORED:
            return
        if upload.status not in ALLOWED_BEFORE[action]:
            raise UploadFailedError(
                f"the object was stored, and is {upload.status} already", upload=upload
            )


# --- Idempotency keys -------------------------------------------------------------


def _key_columns(key: IdempotencyKey | None, size: int | None) -> dict[str, str]:
    if key is None:
        return {}
    return {
        "idempotency_scope": key.scope,
        "idempotency_key": key.key,
        "idempotency_fingerprint": fingerprint_of(size),
    }


def _find(key: IdempotencyKey) -> Upload | None:
    """Return the upload of this key.

    The id finds it also where its record was made from the bucket; the columns where
    SECRET_KEY was another one. Raises `TrailUnavailableError`.
    """
    by_columns = Q(idempotency_scope=key.scope, idempotency_key=key.key)
    with log.database_errors():
        found = list(Upload.objects.filter(Q(pk=key.upload_id) | by_columns))
    found.sort(key=lambda upload: upload.pk != key.upload_id)
    return found[0] if found else None


def _require_same_request(upload: Upload, size: int | None) -> None:
    if upload.idempotency_key:
        is_same = upload.idempotency_fingerprint == fingerprint_of(size)
    else:  # made from the bucket: the bytes tell the request
        is_same = upload.sha256 == payload_of(upload.pk, size).sha256
    if not is_same:
        raise KeyReusedError("the key came with another body before", upload=upload)


def _is_finished(upload: Upload) -> bool:
    """Return True if the upload was stored once, whatever its status now."""
    if upload.status in {Status.PENDING, Status.FAILED}:
        return False
    if upload.stored_at is None and upload.status != Status.STORED:
        # The bucket holds something else under the key: no attempt can succeed.
        raise UploadFailedError("another object has this key", upload=upload)
    return True


def _require_abandoned(upload: Upload) -> None:
    """Raise `StillRunningError` if a request may still be working on this upload."""
    started: datetime | None = upload.attempt_started_at
    if upload.status == Status.FAILED or started is None:
        return
    left = started + longest_attempt(upload.size, upload_storage()) - timezone.now()
    if left > timedelta(0):
        raise StillRunningError(
            "a request with this key is being worked on", seconds=left.total_seconds()
        )
