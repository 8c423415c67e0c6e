"""Requests under one idempotency key, and what a killed worker leaves of one."""

from __future__ import annotations

import json
import re
from typing import Any

from django.test import Client
from django.utils import timezone

from mirrorsite.actors import Actor
from uploads import history, services
from uploads.idempotency import IdempotencyKey, fingerprint_of
from uploads.models import Upload
from uploads.storage import UploadStorage

ACTOR = Actor(address="127.0.0.1", request_id="r-1")
KEY = IdempotencyKey("address:127.0.0.1", "key-1")


def post(client: Client, body: Any = None, key: str = KEY.key, **headers: str) -> Any:
    return client.post(
        "/api/upload-random",
        b"" if body is None else json.dumps(body),
        content_type="application/json",
        headers={"idempotency-key": key, **headers},
    )


def slug(answer: Any) -> str:
    return re.split("[:/]", answer.json()["type"])[-1]


def actions(upload: Upload) -> list[str]:
    return [event.action for event in upload.events.order_by("pk")]


def objects_in(bucket: UploadStorage) -> list[str]:
    listed = bucket.client.list_objects_v2(Bucket=bucket.bucket_name)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def interrupted(bucket: UploadStorage, *, stored: bool, **columns: Any) -> Upload:
    """Write what a killed worker leaves: the intent, perhaps the object, no outcome."""
    payload = services.payload_of(KEY.upload_id, None)
    now = timezone.now()
    upload = Upload(
        id=KEY.upload_id,
        bucket=bucket.bucket_name,
        key=services.object_key(KEY.upload_id, now),
        size=payload.size,
        sha256=payload.sha256,
        number=payload.number,
        requester_name="anonymous",
        request_id="first",
        created_at=now,
        **{
            "idempotency_scope": KEY.scope,
            "idempotency_key": KEY.key,
            "idempotency_fingerprint": fingerprint_of(None),
            "attempt_started_at": now,
            **columns,
        },
    )
    history.record_intent(upload, ACTOR)
    if stored:
        bucket.put_new(upload.key, payload, {"upload-id": str(upload.pk)})
    return upload
