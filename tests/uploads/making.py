"""Uploads in every state, made as the service, or a crash of it, would leave them."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta

from django.utils import timezone

from uploads import services, trail
from uploads.models import Action, Upload, new_upload_id
from uploads.storage import UploadStorage
from uploads.trail import Caller

CALLER = Caller(name="anonymous", request_id="request-1")
HOUR = timedelta(hours=1)


def stored(size: int | None = None) -> Upload:
    return services.upload_random(caller=CALLER, size=size)


def pending(size: int | None = None, *, age: timedelta = HOUR) -> Upload:
    """Commit an intent as the service does, and go no further."""
    upload_id = new_upload_id()
    payload = services.payload_of(upload_id, size)
    now = timezone.now() - age
    upload = Upload(
        id=upload_id,
        bucket=services.upload_storage().bucket_name,
        key=services.object_key(upload_id, now),
        size=payload.size,
        sha256=payload.sha256,
        number=payload.number,
        requester_name=CALLER.name,
        request_id=CALLER.request_id,
        created_at=now,
    )
    trail.begin(upload, CALLER)
    return upload


def put(upload: Upload, size: int | None = None) -> None:
    """Put the object of an intent, as a process killed right afterwards would have."""
    services.upload_storage().put_new(
        upload.key,
        services.payload_of(upload.pk, size),
        {"upload-id": str(upload.pk), "request-id": upload.request_id},
    )


def failed(*, age: timedelta = HOUR) -> Upload:
    upload = pending(age=age)
    trail.record(upload, Action.FAILED, CALLER, error="made to fail")
    return upload


def delete_object(bucket: UploadStorage, key: str) -> None:
    bucket.client.delete_object(Bucket=bucket.bucket_name, Key=key)


def overwrite(bucket: UploadStorage, key: str, body: bytes) -> None:
    """Put other bytes around the service, keeping the metadata a thief would keep."""
    bucket.client.put_object(
        Bucket=bucket.bucket_name,
        Key=key,
        Body=body,
        Metadata=dict(bucket.head(key).metadata),
        ChecksumSHA256=base64.b64encode(hashlib.sha256(body).digest()).decode(),
    )


def actions(upload: Upload) -> list[str]:
    return list(upload.events.order_by("id").values_list("action", flat=True))
