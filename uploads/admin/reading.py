"""The way to an object's bytes, for staff: missing uploads have none, damaged ones do."""

from __future__ import annotations

from uploads.models import Upload
from uploads.storage import storage_of

#: Long enough to follow a redirect.
ADDRESS_SECONDS = 60


def presigned_url(upload: Upload) -> str:
    """Return an address of the object for a minute; made without asking the store.

    Raises `OtherBucketError` for a record of another bucket, and
    `StoreUnavailableError` without credentials.
    """
    parameters = {"VersionId": upload.version_id} if upload.version_id else {}
    return storage_of(upload).presigned_url(
        upload.key,
        seconds=ADDRESS_SECONDS,
        ResponseContentDisposition=f'attachment; filename="{upload.pk}.txt"',
        **parameters,
    )


def read_start(upload: Upload, most: int) -> bytes:
    """Return at most the first `most` bytes; raises `StoreError`.

    In a versioned bucket those of the version that was stored, as a download has.
    """
    chunks = storage_of(upload).read(upload.key, most, upload.version_id)
    return next(chunks, b"")
