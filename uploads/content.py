"""The way to an object's bytes: an address of the store that is valid for a moment."""

from __future__ import annotations

from typing import Literal

from uploads.exceptions import ContentUnavailableError
from uploads.models import Status, Upload
from uploads.storage import storage_of

#: How long an address is valid, in seconds: long enough to follow a redirect.
CONTENT_URL_SECONDS = 60


def content_url(upload: Upload, method: Literal["GET", "HEAD"] = "GET") -> str:
    """Return a presigned address of the object, made without asking the store.

    It is signed for one method, and the store refuses the other.
    In a versioned bucket it is the version that was stored. Raises
    `ContentUnavailableError` unless the upload is stored, `OtherBucketError` for a
    record of another bucket, and `StoreUnavailableError` without credentials.
    """
    if upload.status != Status.STORED:
        raise ContentUnavailableError(
            f"upload {upload.pk} is {upload.status}", status=Status(upload.status)
        )
    parameters = {"VersionId": upload.version_id} if upload.version_id else {}
    return storage_of(upload).presigned_url(
        upload.key,
        seconds=CONTENT_URL_SECONDS,
        method=method,
        ResponseContentDisposition=f'attachment; filename="{upload.pk}.txt"',
        **parameters,
    )
