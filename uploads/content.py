"""Access to an object's content: a presigned URL, or the first bytes."""

from __future__ import annotations

from typing import Literal

from uploads.exceptions import ContentUnavailableError
from uploads.models import Status, Upload
from uploads.storage import storage_of

#: How long a presigned URL is valid: long enough to follow a redirect.
CONTENT_URL_SECONDS = 60


def require_stored(upload: Upload) -> None:
    """Raise `ContentUnavailableError` unless the upload is stored."""
    if upload.status != Status.STORED:
        raise ContentUnavailableError(
            f"upload {upload.pk} is {upload.status}", status=Status(upload.status)
        )


def content_url(upload: Upload, method: Literal["GET", "HEAD"] = "GET") -> str:
    """Return a presigned URL of the object, without a request to the store.

    It is valid for `method` only. In a versioned bucket it is for the version that was
    stored. Raises `OtherBucketError` for a record of another bucket, and
    `StoreUnavailableError` without credentials.
    """
    parameters = {"VersionId": upload.version_id} if upload.version_id else {}
    return storage_of(upload).presigned_url(
        upload.key,
        seconds=CONTENT_URL_SECONDS,
        method=method,
        ResponseContentDisposition=f'attachment; filename="{upload.pk}.txt"',
        **parameters,
    )


def read_start(upload: Upload, size: int) -> bytes:
    """Return up to `size` bytes from the object's start; raises `StoreError`.

    In a versioned bucket they are of the version that was stored.
    """
    chunks = storage_of(upload).read(upload.key, size, upload.version_id)
    return next(chunks, b"")
