"""Uploads in every state, made as the service, or a crash of it, would leave them."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from io import StringIO

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.models import Max
from django.utils import timezone

from mirrorsite.actors import Actor
from uploads import history, services
from uploads.exceptions import ObjectMissingError
from uploads.models import Action, AuditSeal, Upload, UploadEvent, new_upload_id
from uploads.storage import PART_BYTES, UploadStorage, upload_storage

ACTOR = Actor(name="anonymous", request_id="request-1")
HOUR = timedelta(hours=1)


def stored(size: int | None = None) -> Upload:
    return services.create_upload(actor=ACTOR, size=size).upload


def pending(size: int | None = None, *, age: timedelta = HOUR) -> Upload:
    """Commit an intent as the service does, and go no further."""
    upload_id = new_upload_id()
    payload = services.payload_of(upload_id, size)
    now = timezone.now() - age
    upload = Upload(
        id=upload_id,
        bucket=upload_storage().bucket_name,
        key=services.object_key(upload_id, now),
        size=payload.size,
        sha256=payload.sha256,
        number=payload.number,
        requester_name=ACTOR.name,
        request_id=ACTOR.request_id,
        created_at=now,
    )
    history.record_intent(upload, ACTOR)
    return upload


def put(upload: Upload, size: int | None = None) -> None:
    """Put the object of an intent, as a process killed right afterwards would have."""
    upload_storage().put_new(
        upload.key,
        services.payload_of(upload.pk, size),
        {"upload-id": str(upload.pk), "request-id": upload.request_id},
    )


def failed(*, age: timedelta = HOUR) -> Upload:
    upload = pending(age=age)
    history.record(upload, Action.FAILED, ACTOR, error="made to fail")
    return upload


def delete_object(bucket: UploadStorage, key: str) -> None:
    bucket.client.delete_object(Bucket=bucket.bucket_name, Key=key)


def exists(bucket: UploadStorage, key: str) -> bool:
    try:
        bucket.head(key)
    except ObjectMissingError:
        return False
    return True


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


def seal(*uploads: Upload) -> None:
    """Put the events of these uploads under a seal."""
    number = (AuditSeal.objects.aggregate(last=Max("number"))["last"] or 0) + 1
    AuditSeal.objects.create(
        number=number,
        sealed_at=timezone.now(),
        event_count=0,
        root="0" * 64,
        previous=f"{number:064}",
        signature="",
        key_id="test",
        object_key=f"audit/test-{number}",
    )
    ids = UploadEvent.objects.filter(upload__in=uploads, seal=None).values_list("id")
    # The one change that an event may see, made below all that guards it in Python.
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE uploads_uploadevent SET seal_id = %s WHERE id = %s",
            [(number, event_id) for (event_id,) in ids],
        )


def run(*arguments: str) -> tuple[int, str]:
    """Run a management command; return its exit status and what it printed."""
    out = StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=StringIO())
    except CommandError as error:
        return error.returncode, out.getvalue()
    return 0, out.getvalue()


def overwrite_in_parts(bucket: UploadStorage, upload: Upload) -> None:
    """Put other bytes of the same size in parts, with the old metadata beside them."""
    client, key = bucket.client, upload.key
    created = client.create_multipart_upload(
        Bucket=bucket.bucket_name, Key=key, Metadata=dict(bucket.head(key).metadata)
    )
    done = [
        {
            "PartNumber": number,
            "ETag": client.upload_part(
                Bucket=bucket.bucket_name,
                Key=key,
                UploadId=created["UploadId"],
                PartNumber=number,
                Body=body,
            )["ETag"],
        }
        for number, body in enumerate(
            (b"x" * PART_BYTES, b"y" * (upload.size - PART_BYTES)), start=1
        )
    ]
    client.complete_multipart_upload(
        Bucket=bucket.bucket_name,
        Key=key,
        UploadId=created["UploadId"],
        MultipartUpload={"Parts": done},  # type: ignore[typeddict-item]
    )
