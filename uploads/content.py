"""Access to an object's content: a presigned URL."""

from __future__ import annotations

from typing import Literal

from uploads.models import Upload
from uploads.storage import storage_of

#: How long a presigned URL is valid: long enough to follow a redirect.
CONTENT_URL_SECONDS = 60


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
