"""The bucket: django-storages' S3 backend, made to create and never to overwrite.

`client` holds the connection, `asking` reads, `creating` puts, `answers` turns the
store's errors into ours, `objects` are the values that pass between them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storages.utils import clean_name

from uploads.exceptions import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
)
from uploads.storage.creating import MAX_PARTS, PART_BYTES, CreatingStorage
from uploads.storage.objects import (
    BytesPayload,
    ListedObject,
    ObjectVersions,
    Payload,
    StoredObject,
    UnfinishedUpload,
)

if TYPE_CHECKING:
    from django.core.files import File

__all__ = [
    "MAX_PARTS",
    "PART_BYTES",
    "BytesPayload",
    "ListedObject",
    "ObjectVersions",
    "Payload",
    "StoredObject",
    "UnfinishedUpload",
    "UploadStorage",
]


class UploadStorage(CreatingStorage):
    """S3 storage that creates objects once and says truly what became of them.

    Options beyond django-storages': `connect_timeout` and `read_timeout` in seconds,
    `max_attempts` for one request, `max_pool_connections`, and `quick_puts`: whether
    small objects may go another way than the client's (uploads.storage.quick_put).
    """

    def delete_unchanged(self, key: str, etag: str) -> None:
        """Delete the object `key` if it still has that ETag.

        Raises `ObjectChangedError` when it has not, or when it is gone (stores
        differ: AWS says 404 for a missing key, SeaweedFS 412), `StoreRefusedError`
        when the store says no, and `StoreUnavailableError` when it is away: whether
        the object is there is unknown then.
        """
        try:
            self._retried(
                lambda: self.client.delete_object(
                    Bucket=self.bucket_name, Key=key, IfMatch=f'"{etag}"'
                )
            )
        except (ObjectExistsError, ObjectMissingError) as error:
            raise ObjectChangedError(str(error)) from error

    # --- Django's storage interface ----------------------------------------------

    def _save(self, name: str, content: File[Any]) -> str:
        """Create through `put_new`, so that this door does not overwrite either."""
        content.seek(0)
        data = content.read()
        body = data.encode() if isinstance(data, str) else data
        cleaned: str = clean_name(name)
        key = self._normalize_name(cleaned)
        parameters = self._get_write_parameters(key, content)
        self.put_new(key, BytesPayload(body, parameters["ContentType"]), {})
        return cleaned
