"""The way to an object's bytes, for staff: missing uploads have none, damaged ones do."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError

from uploads.exceptions import StoreRefusedError
from uploads.models import Upload
from uploads.services import storage_of

#: Long enough to follow a redirect.
ADDRESS_SECONDS = 60


def presigned_url(upload: Upload) -> str:
    """Return an address of the object for a minute; made without asking the store.

    Raises `OtherBucketError` for a record of another bucket, and `StoreRefusedError`
    when there are no credentials to sign with.
    """
    parameters = {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "ResponseContentDisposition": f'attachment; filename="{upload.pk}.txt"',
    }
    if upload.version_id:
        parameters["VersionId"] = upload.version_id
    client = storage_of(upload).client
    try:
        return client.generate_presigned_url(
            "get_object", Params=parameters, ExpiresIn=ADDRESS_SECONDS
        )
    except BotoCoreError as error:
        raise StoreRefusedError(f"not signed: {type(error).__name__}") from error


def read_start(upload: Upload, most: int) -> bytes:
    """Return at most the first `most` bytes; raises `StoreError`.

    In a versioned bucket those of the version that was stored, as a download has.
    """
    chunks = storage_of(upload).read(upload.key, most, upload.version_id)
    return next(chunks, b"")
