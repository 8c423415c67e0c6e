"""Uploading, in the order that keeps the promise: intent, act, outcome."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from mirrorsite.metrics import observe_upload
from uploads import trail
from uploads.exceptions import (
    StoreError,
    StoreUnavailableError,
    TrailUnavailableError,
    TransitionError,
    UploadFailedError,
)
from uploads.models import ALLOWED_BEFORE, Action, Status, Upload, new_upload_id
from uploads.payloads import RandomNumbers
from uploads.storage import StoredObject, storage_of, upload_storage
from uploads.trail import Caller

logger = logging.getLogger(__name__)

__all__ = [
    "PREFIX",
    "object_key",
    "payload_of",
    "put_payload",
    "start_upload",
    "storage_of",
    "upload_random",
    "upload_storage",
]

PREFIX = "uploads/"


def object_key(upload_id: UUID, at: datetime) -> str:
    """Return the key of an upload's object: uploads/YYYY/MM/DD/<id>.txt, in UTC."""
    return f"{PREFIX}{at:%Y/%m/%d}/{upload_id}.txt"


def payload_of(upload_id: UUID, size: int | None) -> RandomNumbers:
    """Return the payload of an upload; its id is random, and so is what follows."""
    return RandomNumbers(upload_id.bytes, size)


def upload_random(*, caller: Caller, size: int | None = None) -> Upload:
    """Put a random text into the bucket and return its record, which is `stored`.

    `size` is in bytes; None means a single number from 0 to 9999.

    Raises `TrailUnavailableError` when the database is away (before the PUT, when
    nothing was put; or after it, when the record stays pending), and
    `UploadFailedError` when the store refuses or is away: the record then says
    failed, or pending where the object may yet be there.
    """
    return start_upload(new_upload_id(), caller=caller, size=size)


def start_upload(
    upload_id: UUID, *, caller: Caller, size: int | None, **columns: str
) -> Upload:
    """Do what `upload_random` says under a given id; `columns` go into the record.

    Raises `AlreadyRecordedError` too, when there is such an upload already.
    """
    payload = payload_of(upload_id, size)
    now = timezone.now()
    upload = Upload(
        id=upload_id,
        bucket=upload_storage().bucket_name,
        key=object_key(upload_id, now),
        size=payload.size,
        sha256=payload.sha256,
        number=payload.number,
        requester_id=caller.user_id,
        requester_name=caller.name,
        client_address=caller.address,
        user_agent=caller.user_agent[:512],
        request_id=caller.request_id,
        created_at=now,
        **columns,
    )
    if upload.idempotency_key:
        upload.attempt_started_at = timezone.now()
    try:
        trail.begin(upload, caller)
    except TrailUnavailableError:
        observe_upload("unrecorded")
        raise
    put_payload(upload, payload, caller)
    return upload


def put_payload(upload: Upload, payload: RandomNumbers, caller: Caller) -> None:
    """Put the object of an upload whose intent is recorded, and record the outcome."""
    metadata = {"upload-id": str(upload.pk), "request-id": upload.request_id}
    try:
        stored = storage_of(upload).put_new(upload.key, payload, metadata)
    except StoreError as error:
        _record_failure(upload, error, caller)
        raise UploadFailedError(str(error), upload=upload) from error
    _record_stored(upload, stored, caller)


def _record_stored(upload: Upload, stored: StoredObject, caller: Caller) -> None:
    now = timezone.now()
    try:
        _settle(
            upload,
            Action.STORED,
            caller,
            detail={
                "size": stored.size,
                "sha256": stored.sha256,
                "etag": stored.etag,
                "version_id": stored.version_id,
            },
            etag=stored.etag,
            version_id=stored.version_id,
            stored_at=now,
            duration=now - upload.created_at,
            error="",
        )
        observe_upload("stored", stored.size)
    except TrailUnavailableError as error:
        observe_upload("pending")
        # The object is there and the record says pending: reconciliation settles it.
        logger.exception("upload=%s is in the bucket, its record pending", upload.pk)
        raise TrailUnavailableError(str(error), upload_id=upload.pk) from error


def _record_failure(upload: Upload, error: StoreError, caller: Caller) -> None:
    message = str(error)[:1000]
    logger.warning("upload=%s failed: %s", upload.pk, message)
    try:
        if isinstance(error, StoreUnavailableError) and error.outcome_unknown:
            trail.note_error(upload, message)
        else:
            _settle(
                upload, Action.FAILED, caller, detail={"error": message}, error=message
            )
        observe_upload(upload.status)
    except TrailUnavailableError as trail_error:
        observe_upload("pending")
        raise TrailUnavailableError(
            str(trail_error), upload_id=upload.pk
        ) from trail_error


def _settle(upload: Upload, action: Action, caller: Caller, **values: Any) -> None:
    """Record the outcome, also when reconciliation has judged this upload meanwhile.

    Raises `UploadFailedError` when reconciliation has found something else under the
    key than what was stored a moment ago.
    """
    while True:
        try:
            trail.record(upload, action, caller, **values)
        except TransitionError:
            trail.reload(upload)
        else:
            return
        # Reconciliation may have come to the same end, or to one that a later look
        # at the bucket corrects; what it found stands unless this says more. Each
        # turn, another has written: there are only so many that do.
        if action != Action.STORED or upload.status == Status.STORED:
            return
        if upload.status not in ALLOWED_BEFORE[action]:
            raise UploadFailedError(
                f"the object was stored, and is {upload.status} already", upload=upload
            )
