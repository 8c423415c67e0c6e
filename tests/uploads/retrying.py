"""Requests under one idempotency key, and what a killed worker leaves of one."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client
from django.utils import timezone

from tests.uploads import making
from uploads.idempotency import IdempotencyKey, fingerprint_of
from uploads.models import Upload

KEY = IdempotencyKey("address:127.0.0.1", "key-1")


def post(client: Client, body: Any = None, key: str = KEY.key, **headers: str) -> Any:
    return client.post(
        "/api/upload-random",
        b"" if body is None else json.dumps(body),
        content_type="application/json",
        headers={"idempotency-key": key, **headers},
    )


def interrupted(*, stored: bool, **columns: Any) -> Upload:
    """Write what a killed worker leaves: the intent, perhaps the object, no outcome."""
    now = timezone.now()
    columns = {
        "id": KEY.upload_id,
        "created_at": now,
        "idempotency_scope": KEY.scope,
        "idempotency_key": KEY.key,
        "idempotency_fingerprint": fingerprint_of(None),
        "attempt_started_at": now,
        **columns,
    }
    upload = making.pending(**columns)
    if stored:
        making.put(upload)
    return upload
