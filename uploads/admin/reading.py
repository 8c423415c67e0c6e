"""The way to an object's bytes, for staff: missing uploads have none, damaged ones do."""

from __future__ import annotations

from uploads.models import Upload
from uploads.services import storage_of

#: Long enough to follow a redirect.
ADDRESS_SECONDS = 60


def presigned_url(upload: Upload) -> str:
    """Return an address of the object for a minute; made without asking the store.

    Raises `OtherBucketError` for a record of another bucket.
    """
    parameters = {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "ResponseContentDisposition": f'attachment; filename="{upload.pk}.txt"',
    }
    if upload.version_id:
        parameters["VersionId"] = upload.version_id
    return storage_of(upload).client.generate_presigned_url(
        "get_object", Params=parameters, ExpiresIn=ADDRESS_SECONDS
    )


def read_start(upload: Upload, most: int) -> bytes:
    """Return at most the first `most` bytes; raises `StoreError`."""
    chunks = storage_of(upload).read(upload.key, most)
    return next(chunks, b"")
