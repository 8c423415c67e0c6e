"""For the OpenAPI description: examples, and the problems that operations share."""

from __future__ import annotations

from typing import Any

from mirrorsite.openapi import EXAMPLE_REQUEST_ID

ID = "01937b5e-2f0a-7c3d-9a41-5b7f3f0e8c11"
UPLOADED: dict[str, Any] = {
    "uploaded": "ok",
    "id": ID,
    "key": f"uploads/2026/11/23/{ID}.txt",
    "bucket": "mirrorsite-uploads",
    "number": 4711,
    "size": 4,
    "sha256": "82b84ef1271b88f4af5f3e8f2bb8b6f35e1b8dee0b7bbb9f4ea4a5fc0d15fa2d",
    "etag": "5b2ef0d5ba0fae7a7ba76a0a7d7a8d3c",
    "version_id": None,
    "status": "stored",
    "created_at": "2026-11-23T18:45:18.000000Z",
    "url": f"http://127.0.0.1:4545/api/uploads/{ID}",
}
UPLOAD = {
    **{name: value for name, value in UPLOADED.items() if name != "uploaded"},
    "requester": "anonymous",
    "client_address": "192.0.2.7",
    "user_agent": "curl/8.0",
    "request_id": EXAMPLE_REQUEST_ID,
    "error": None,
    "stored_at": "2026-11-23T18:45:18.012000Z",
    "duration_seconds": 0.012,
}
EVENT = {
    "id": 2,
    "action": "stored",
    "at": "2026-11-23T18:45:18.012000Z",
    "actor": "anonymous",
    "request_id": EXAMPLE_REQUEST_ID,
    "detail": {"size": 4, "etag": UPLOADED["etag"]},
    "seal": None,
}
FAILED = {"upload_id": ID, "upload_status": "failed"}

#: Problems of every operation that authenticates.
PROBLEMS = (
    "not-authenticated",
    "authentication-failed",
    "permission-denied",
    "database-unavailable",
)
#: Problems of every POST.
POST_PROBLEMS = (
    *PROBLEMS,
    "request-timeout",
    "body-too-large",
    "throttled",
    "store-refused",
    "store-busy",
    "store-unavailable",
    "trail-unavailable",
)
