"""How the API shows uploads and their events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework.request import Request

from uploads.models import Upload, UploadEvent


def describe(upload: Upload, request: Request) -> dict[str, Any]:
    """Return an upload as its uploader sees it; `url` is its own address in this API."""
    http = request._request
    return {
        "id": str(upload.pk),
        "key": upload.key,
        "bucket": upload.bucket,
        "number": upload.number,
        "size": upload.size,
        "sha256": upload.sha256,
        "etag": upload.etag,
        "version_id": upload.version_id or None,
        "status": upload.status,
        "created_at": rfc3339(upload.created_at),
        "url": f"{http.scheme}://{http.get_host()}/api/uploads/{upload.pk}",
    }


def describe_record(upload: Upload, request: Request) -> dict[str, Any]:
    """Return an upload as the trail has it: who asked, and how it went."""
    duration = upload.duration
    return {
        **describe(upload, request),
        "requester": upload.requester_name,
        "client_address": upload.client_address,
        "user_agent": upload.user_agent,
        "request_id": upload.request_id,
        "error": upload.error or None,
        "stored_at": upload.stored_at and rfc3339(upload.stored_at),
        "duration_seconds": None if duration is None else duration.total_seconds(),
    }


def describe_event(event: UploadEvent) -> dict[str, Any]:
    return {
        "id": event.pk,
        "action": event.action,
        "at": rfc3339(event.at),
        "actor": event.actor,
        "request_id": event.request_id,
        "detail": event.detail,
        "seal": event.seal_id,
    }


def rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
