"""Creates the record of an object that has none, with the source of each fact."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone

from mirrorsite.actors import Actor
from mirrorsite.logs import is_request_id
from uploads import transitions
from uploads.models import Action, Upload, new_upload_id
from uploads.storage import upload_storage


def record_orphan(key: str, *, actor: Actor) -> Upload:
    """Create the record of an object that has none, from what the bucket reports.

    Size, ETag, version and time are the store's. The SHA-256 is the store's own
    checksum, or else computed from the bytes. Id and request id are those in the
    metadata if they are well-formed and the id is free; the event has the rejected
    values. The requester is unknown.

    Raises `AlreadyRecordedError` if the object has a record by now, and the errors of
    `UploadStorage.head`, `UploadStorage.read_digest` and `transitions.record_intent`.
    """
    storage = upload_storage()
    found = storage.head(key)
    if found.sha256_source == "store":
        sha256, sha256_from = found.sha256, "checksum computed by the store"
    else:
        (sha256, _), sha256_from = storage.read_digest(key), "bytes read"
    claimed_id = _free_id(found.metadata.get("upload-id", ""))
    claimed_request = found.metadata.get("request-id", "")
    request_id = claimed_request if is_request_id(claimed_request) else ""
    upload = Upload(
        id=claimed_id or new_upload_id(),
        bucket=storage.bucket_name,
        key=key,
        size=found.size,
        sha256=sha256,
        etag=found.etag,
        version_id=found.version_id,
        requester_name="unknown",
        request_id=request_id,
        stored_at=found.last_modified,
        # The record is created now; `stored_at` is the object's own time.
        created_at=timezone.now(),
    )
    detail: dict[str, Any] = {
        "etag": found.etag,
        "version_id": found.version_id,
        "last_modified": found.last_modified and found.last_modified.isoformat(),
        "request_id": request_id,
        "known_from": {
            "sha256": sha256_from,
            "id": "metadata" if claimed_id else "new",
            "request_id": "metadata" if request_id else "unknown",
        },
    }
    recorded = {"sha256": sha256, "upload-id": str(upload.pk), "request-id": request_id}
    if rejected := {
        name: claim[:200]
        for name, value in recorded.items()
        if (claim := found.metadata.get(name)) and claim != value
    }:
        detail["claims_not_believed"] = rejected
    transitions.record_intent(upload, actor, Action.ADOPTED, detail=detail)
    return upload


def _free_id(claim: str) -> UUID | None:
    """Return the id in an object's metadata, or None if it is malformed or taken."""
    try:
        upload_id = UUID(claim)
    except ValueError:
        return None
    # UUID() accepts several forms; the service writes only this one.
    is_taken = str(upload_id) != claim or Upload.objects.filter(pk=upload_id).exists()
    return None if is_taken else upload_id
