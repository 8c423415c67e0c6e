"""Recording an object that has no record, with the source of each fact."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone

from mirrorsite.actors import Actor
from mirrorsite.logs import is_request_id
from uploads import transitions
from uploads.models import Action, Upload, new_upload_id
from uploads.storage import StoredObject, upload_storage


def record_orphan(key: str, *, actor: Actor) -> Upload:
    """Record the object `key`, which has no record, from what the bucket has about it.

    Size, ETag, version and time are the store's. The SHA-256 is the store's own
    checksum, or else computed from the bytes. Id and request id are those in the
    metadata if they are well-formed and the id is free. The event keeps the
    metadata's values that are wrong or unusable. The requester is unknown.

    Raises `ObjectMissingError` when it is missing, `AlreadyRecordedError` when it has a
    record by now, and as `UploadStorage.head` and `transitions.record_intent` do.
    """
    found = upload_storage().head(key)
    sources: dict[str, str] = {}
    rejected: dict[str, Any] = {}
    sha256 = _sha256(key, found, sources, rejected)
    upload = Upload(
        id=_upload_id(found, sources, rejected),
        bucket=upload_storage().bucket_name,
        key=key,
        size=found.size,
        sha256=sha256,
        etag=found.etag,
        version_id=found.version_id,
        requester_name="unknown",
        request_id=_request_id(found, sources, rejected),
        stored_at=found.last_modified,
        # When the record begins, which is now; `stored_at` is the object's time.
        created_at=timezone.now(),
    )
    detail: dict[str, Any] = {
        "etag": found.etag,
        "version_id": found.version_id,
        "last_modified": found.last_modified and found.last_modified.isoformat(),
        "request_id": upload.request_id,
        "known_from": sources,
    }
    if rejected:
        detail["claims_not_believed"] = rejected
    transitions.record_intent(upload, actor, Action.ADOPTED, detail=detail)
    return upload


def _sha256(
    key: str, found: StoredObject, sources: dict[str, str], rejected: dict[str, Any]
) -> str:
    claimed = found.metadata.get("sha256", "")
    if found.sha256_source == "store":
        sources["sha256"] = "checksum computed by the store"
        if claimed and claimed != found.sha256:
            rejected["sha256"] = claimed[:200]
        return found.sha256
    sources["sha256"] = "bytes read"
    digest, _ = upload_storage().read_digest(key)
    if claimed and claimed != digest:
        rejected["sha256"] = claimed[:200]
    return digest


def _upload_id(
    found: StoredObject, sources: dict[str, str], rejected: dict[str, Any]
) -> UUID:
    """Return the id in the metadata if it is well-formed and free, else a new one.

    Records its origin in `sources`, and an unusable id in `rejected`.
    """
    claimed = found.metadata.get("upload-id", "")
    if claimed:
        try:
            upload_id = UUID(claimed)
        except ValueError:
            upload_id = None
        # UUID() accepts several forms; the service writes one.
        if (
            upload_id is not None
            and str(upload_id) == claimed
            and not Upload.objects.filter(pk=upload_id).exists()
        ):
            sources["id"] = "metadata"
            return upload_id
        rejected["upload-id"] = claimed[:200]
    sources["id"] = "new"
    return new_upload_id()


def _request_id(
    found: StoredObject, sources: dict[str, str], rejected: dict[str, Any]
) -> str:
    claimed = found.metadata.get("request-id", "")
    if is_request_id(claimed):
        sources["request_id"] = "metadata"
        return claimed
    if claimed:
        rejected["request-id"] = claimed[:200]
    sources["request_id"] = "unknown"
    return ""
