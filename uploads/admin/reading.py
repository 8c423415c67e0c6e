"""The way to an object's bytes, for staff: missing uploads have none, damaged ones do."""

from __future__ import annotations

from uploads.models import Upload
from uploads.services import upload_storage

#: Long enough to follow a redirect.
ADDRESS_SECONDS = 60


def presigned_url(upload: Upload) -> str:
    """Return an address of the object for a minute; made without asking the store."""
    parameters = {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "ResponseContentDisposition": f'attachment; filename="{upload.pk}.txt"',
    }
    if upload.version_id:
        parameters["VersionId"] = upload.version_id
    return upload_storage().client.generate_presigned_url(
        "get_object", Params=parameters, ExpiresIn=ADDRESS_SECONDS
    )


def read_start(upload: Upload, most: int) -> bytes:
    """Return at most the first `most` bytes; raises `StoreError`."""
    chunks = upload_storage().read(upload.key, most)
    return next(chunks, b"")
