"""The bucket: objects are created once, never overwritten, and outcomes reported truthfully.

`backend` is the storage that the other modules call; `writes` and `multipart` create
objects; `client` holds the one configuration, the clients built from it, and the retries;
`http_client` sends every request; `signed_puts` prepares those that have a body, with the
`signature` of S3; `errors` translates every failure; `objects` are the values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.files.storage import storages

from uploads.exceptions import OtherBucketError
from uploads.payloads import BytesPayload, Payload
from uploads.storage.backend import UploadStorage
from uploads.storage.multipart import PART_BYTES
from uploads.storage.objects import (
    ListedObject,
    MultipartUpload,
    ObjectVersions,
    StoredObject,
)

if TYPE_CHECKING:
    from uploads.models import Upload

__all__ = [
    "PART_BYTES",
    "BytesPayload",
    "ListedObject",
    "MultipartUpload",
    "ObjectVersions",
    "Payload",
    "StoredObject",
    "UploadStorage",
    "storage_of",
    "upload_storage",
]


def upload_storage() -> UploadStorage:
    """Return the storage of `STORAGES["default"]`; one object for all threads."""
    storage = storages["default"]
    if not isinstance(storage, UploadStorage):
        raise TypeError("STORAGES['default'] must be an uploads.storage.UploadStorage.")
    return storage


def storage_of(upload: Upload) -> UploadStorage:
    """Return the storage that holds the upload's object.

    Raises `OtherBucketError` when the record names another bucket than the configured
    one, whose objects are no evidence about it.
    """
    storage = upload_storage()
    if upload.bucket != storage.bucket_name:
        raise OtherBucketError(
            f"upload {upload.pk} is recorded in bucket {upload.bucket}, and the"
            f" configured one is {storage.bucket_name}"
        )
    return storage
