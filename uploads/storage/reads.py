"""Reading one object: size, checksum, bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from uploads.exceptions import BucketMissingError, ObjectMissingError
from uploads.storage.client import StoreClient
from uploads.storage.errors import translated
from uploads.storage.objects import StoredObject, stored_object_from_head

CHUNK_BYTES = 1024 * 1024


class Reader:
    """Reads the objects of one bucket; raises nothing but `StoreError`."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    def head(self, key: str) -> StoredObject:
        """Return size, checksum and metadata of an object.

        `sha256` is the one the store computed, or, for objects sent in parts, the
        one in the metadata. Raises `ObjectMissingError`, `BucketMissingError`,
        `StoreRefusedError` or `StoreUnavailableError`.
        """
        return self._store.repeated(lambda: self.head_once(key))

    def head_once(self, key: str) -> StoredObject:
        """Return what `head` returns, from a single request."""
        try:
            return self._store.once(
                lambda s3: stored_object_from_head(
                    dict(
                        s3.head_object(
                            Bucket=self._store.bucket, Key=key, ChecksumMode="ENABLED"
                        )
                    )
                )
            )
        except ObjectMissingError:
            # The answer to HEAD has no body, so a missing bucket looks the same:
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
            if not self.bucket_exists():
                raise BucketMissingError(
                    f"there is no bucket {self._store.bucket}"
                ) from None
            raise

    def read(
        self, key: str, chunk_bytes: int = CHUNK_BYTES, version_id: str = ""
    ) -> Iterator[bytes]:
        """Yield an object's bytes; raises as `head` does, also half-way.

        `version_id` selects another version than the current one.
        """
        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        answer = self._store.retried(
            lambda s3: s3.get_object(Bucket=self._store.bucket, Key=key, **version)
        )
        body = answer["Body"]
        try:
            while chunk := translated(lambda: body.read(chunk_bytes)):
                yield chunk
        finally:
            body.close()

    def read_digest(
        self, key: str, on_chunk: Callable[[], None] = lambda: None
    ) -> tuple[str, int]:
        """Read an object; return the SHA-256 and the number of its bytes.

        `on_chunk` is called after each chunk. Raises as `read` does.
        """
        digest, size = hashlib.sha256(), 0
        for chunk in self.read(key):
            on_chunk()
            digest.update(chunk)
            size += len(chunk)
        return digest.hexdigest(), size

    def bucket_exists(self) -> bool:
        try:
            self._store.retried(lambda s3: s3.head_bucket(Bucket=self._store.bucket))
        except (BucketMissingError, ObjectMissingError):
            return False
        return True
