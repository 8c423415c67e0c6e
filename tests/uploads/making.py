"""Uploads in every state, made as the service, or a crash of it, would leave them.

And what the tests of uploads look at: answers, events, the bucket.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from typing import Any
from unittest.mock import patch

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.models import Max
from django.test import Client
from django.utils import timezone

from mirrorsite.actors import Actor
from uploads import services, transitions
from uploads.exceptions import ObjectMissingError
from uploads.models import Action, AuditSeal, Upload, UploadEvent, new_upload_id
from uploads.storage import PART_BYTES, UploadStorage, upload_storage

ACTOR = Actor(address="192.0.2.7", user_agent="tests", request_id="request-1")
HOUR = timedelta(hours=1)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def new_upload(**columns: Any) -> Upload:
    """Return an upload that is not saved."""
    upload_id = columns.get("id") or new_upload_id()
    created_at = columns.get("created_at") or timezone.now()
    return Upload(
        **{
            "id": upload_id,
            "bucket": "b",
            "key": f"{services.day_prefix(created_at)}{upload_id}.txt",
            "size": 4,
            "sha256": "0" * 64,
            "requester_name": ACTOR.name,
            "created_at": created_at,
            **columns,
        }
    )


def record(**columns: Any) -> Upload:
    """Write an upload that is pending, and its intent, without any object."""
    upload = new_upload(**{"created_at": NOON, **columns})
    transitions.record_intent(upload, ACTOR)
    return upload


def stored(size: int | None = None, *, age: timedelta | None = None) -> Upload:
    """Upload as the service does, or did that long ago."""
    if age is None:
        return services.create_upload(actor=ACTOR, size=size).upload
    with patch.object(timezone, "now", return_value=timezone.now() - age):
        return stored(size)


def pending(
    size: int | None = None, *, age: timedelta = HOUR, **columns: Any
) -> Upload:
    """Commit an intent as the service does, and go no further."""
    upload_id = columns.setdefault("id", new_upload_id())
    payload = services.payload_of(upload_id, size)
    return record(
        **{
            "bucket": upload_storage().bucket_name,
            "size": payload.size,
            "sha256": payload.sha256,
            "number": payload.number,
            "request_id": ACTOR.request_id,
            "created_at": timezone.now() - age,
            **columns,
        }
    )


def put(upload: Upload, size: int | None = None) -> None:
    """Put the object of an intent, as a process killed right afterwards would have."""
    upload_storage().put_new(
        upload.key,
        services.payload_of(upload.pk, size),
        {"upload-id": str(upload.pk), "request-id": upload.request_id},
    )


def put_raw(bucket: UploadStorage, key: str, body: bytes, **metadata: str) -> None:
    """Put an object around the service."""
    bucket.client.put_object(
        Bucket=bucket.bucket_name, Key=key, Body=body, Metadata=metadata
    )


def failed(*, age: timedelta = HOUR) -> Upload:
    upload = pending(age=age)
    transitions.record(upload, Action.FAILED, ACTOR, error="made to fail")
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


def last_event(upload: Upload) -> tuple[str, str]:
    """Return action and actor."""
    event = upload.events.latest("id")
    return event.action, event.actor


def keys_in(bucket: UploadStorage) -> list[str]:
    return sorted(bucket.list_keys(""))


def pages(client: Client, address: str) -> Iterator[list[dict[str, Any]]]:
    """Follow `next` until there is none."""
    following: str | None = address
    while following:
        answer = client.get(following.removeprefix("http://testserver"))
        assert answer.status_code == 200
        body = answer.json()
        yield body["results"]
        following = body["next"]


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


def run(*arguments: str, with_errors: bool = False) -> tuple[int, str]:
    """Run a management command; return its exit status and what it printed."""
    out = StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=out if with_errors else StringIO())
    except CommandError as error:
        return error.returncode, out.getvalue() + (str(error) if with_errors else "")
    return 0, out.getvalue()


run_with_errors = partial(run, with_errors=True)


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
