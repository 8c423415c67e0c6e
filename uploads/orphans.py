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
    metadata if they are well-formed and the id is free; the event lists the metadata
    that is not used. The requester is unknown.

    Raises `AlreadyRecordedError` if the object has a record by now, and the errors of
    `UploadStorage.head`, `UploadStorage.read_digest` and `transitions.record_intent`.
    """
    storage = upload_storage()
    found = storage.head(key)
    if found.sha256_source == "store":
        sha256, sha256_from = found.sha256, "checksum computed by the store"
    else:
        sha256, _ = storage.read_digest(key)
        sha256_from = "bytes read"
    id_in_metadata = _free_id(found.metadata.get("upload-id", ""))
    request_id = found.metadata.get("request-id", "")
    if not is_request_id(request_id):
        request_id = ""
    now = timezone.now()
    upload = Upload(
        id=id_in_metadata or new_upload_id(),
        bucket=storage.bucket_name,
        key=key,
        size=found.size,
        sha256=sha256,
        etag=found.etag,
        version_id=found.version_id,
        requester_name="unknown",
        request_id=request_id,
        # The record is created now; `stored_at` is the object's own time, if it is known.
        stored_at=found.last_modified or now,
        created_at=now,
    )
    detail: dict[str, Any] = {
        "etag": found.etag,
        "version_id": found.version_id,
        "last_modified": found.last_modified and found.last_modified.isoformat(),
        "request_id": request_id,
        "sources": {
            "sha256": sha256_from,
            "id": "metadata" if id_in_metadata else "new",
            "request_id": "metadata" if request_id else "unknown",
        },
    }
    recorded = {"sha256": sha256, "upload-id": str(upload.pk), "request-id": request_id}
    rejected = {
        name: found.metadata[name][:200]
        for name, value in recorded.items()
        if found.metadata.get(name, "") not in {"", value}
    }
    if rejected:
        detail["rejected_metadata"] = rejected
    transitions.record_intent(upload, actor, Action.ADOPTED, detail=detail)
    return upload


def _free_id(text: str) -> UUID | None:
    """Return the id in an object's metadata, or None if it is malformed or taken."""
    try:
        upload_id = UUID(text)
    except ValueError:
        return None
    # UUID() accepts several forms; the service writes only the canonical one.
    if str(upload_id) != text or Upload.objects.filter(pk=upload_id).exists():
        return None
    return upload_id
