"""The bucket: objects are created once and never overwritten.

`backend` is the storage that other packages call; `multipart` creates large objects;
`client` makes the requests to one bucket, signs them and repeats them; `http_client`
sends each; `configuration` has the store's settings, and builds the transport that all
requests share; `errors` translates every failure; `objects` has the value types.
"""

from __future__ import annotations

from uploads.payloads import PART_BYTES, BytesPayload
from uploads.storage.backend import UploadStorage, storage_of, upload_storage
from uploads.storage.objects import (
    ListedObject,
    MultipartUpload,
    ObjectVersions,
    StoredObject,
)

__all__ = [
    "PART_BYTES",
    "BytesPayload",
    "ListedObject",
    "MultipartUpload",
    "ObjectVersions",
    "StoredObject",
    "UploadStorage",
    "storage_of",
    "upload_storage",
]
