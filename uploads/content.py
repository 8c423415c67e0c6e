"""The way to an object's bytes: an address of the store that is valid for a moment."""

from __future__ import annotations

from typing import Literal

from botocore.exceptions import BotoCoreError

from uploads.exceptions import ContentUnavailableError, StoreRefusedError
from uploads.models import Status, Upload
from uploads.services import storage_of

#: How long an address is valid, in seconds: long enough to follow a redirect.
CONTENT_URL_SECONDS = 60


def content_url(upload: Upload, method: Literal["GET", "HEAD"] = "GET") -> str:
    """Return a presigned address of the object, made without asking the store.

    It is signed for one method, and the store refuses the other.
    In a versioned bucket it is the version that was stored. Raises
    `ContentUnavailableError` unless the upload is stored, and `StoreRefusedError`
    when there are no credentials to sign with, or the record is of another bucket.
    """
    if upload.status != Status.STORED:
        raise ContentUnavailableError(
            f"upload {upload.pk} is {upload.status}", status=Status(upload.status)
        )
    storage = storage_of(upload)
    parameters = {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "ResponseContentDisposition": f'attachment; filename="{upload.pk}.txt"',
    }
    if upload.version_id:
        parameters["VersionId"] = upload.version_id
    try:
        return storage.client.generate_presigned_url(
            "head_object" if method == "HEAD" else "get_object",
            Params=parameters,
            ExpiresIn=CONTENT_URL_SECONDS,
        )
    except BotoCoreError as error:
        raise StoreRefusedError(f"not signed: {type(error).__name__}") from error
