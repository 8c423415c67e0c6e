"""Requests that read the bucket."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from uploads.exceptions import (
    BucketMissingError,
    ObjectMissingError,
    StoreError,
    StoreRedirectError,
    StoreRefusedError,
)
from uploads.storage.client import StoreClient
from uploads.storage.errors import error_code, translated
from uploads.storage.objects import (
    ListedObject,
    ObjectVersions,
    StoredObject,
    stored_object_from_head,
    versions_of_page,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

logger = logging.getLogger(__name__)

#: Answers of stores without Object Lock, and about buckets without it.
_NO_OBJECT_LOCK = frozenset(
    {
        "ObjectLockConfigurationNotFoundError",
        "ObjectLockConfigurationNotFound",
        "NotImplemented",
    }
)


class Reads:
    """Objects, listings and properties of one bucket; raises `StoreError`."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store
        self._bucket = store.bucket

    def head(self, key: str) -> StoredObject:
        """Return size, checksum and metadata of an object.

        `sha256` is the one the store computed, or, for objects sent in parts, the
        one in the metadata. Raises `ObjectMissingError`, `BucketMissingError`,
        `StoreRefusedError` or `StoreUnavailableError`.
        """
        return self._store.repeated(lambda: self.head_once(key))

    def head_once(self, key: str) -> StoredObject:
        try:
            answer = self._store.once(
                lambda s3: s3.head_object(
                    Bucket=self._bucket, Key=key, ChecksumMode="ENABLED"
                )
            )
        except ObjectMissingError:
            # The answer to HEAD has no body, so a missing bucket looks the same:
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
            self.require_bucket()
            raise
        return stored_object_from_head(dict(answer))

    def require_bucket(self) -> None:
        if not self.bucket_exists():
            raise BucketMissingError(f"there is no bucket {self._bucket}")

    def read(self, key: str, chunk_bytes: int, version_id: str) -> Iterator[bytes]:
        """Yield an object's bytes; raises as `head` does, also half-way."""
        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        answer = self._store.retried(
            lambda s3: s3.get_object(Bucket=self._bucket, Key=key, **version)
        )
        body = answer["Body"]
        try:
            while chunk := translated(lambda: body.read(chunk_bytes)):
                yield chunk
        finally:
            body.close()

    def presigned_url(
        self,
        key: str,
        *,
        seconds: int,
        method: str,
        **parameters: str,
    ) -> str:
        """Return an address that anyone may GET, or HEAD, for `seconds`; asks nothing."""
        return self._store.once(
            lambda s3: s3.generate_presigned_url(
                "head_object" if method == "HEAD" else "get_object",
                Params={"Bucket": self._bucket, "Key": key, **parameters},
                ExpiresIn=seconds,
            )
        )

    def listing(self, prefix: str) -> Iterator[ListedObject]:
        """Yield every object under `prefix`, a page of 1,000 in memory at a time.

        The order is the store's own: S3 lists by the UTF-8 bytes of the key
        (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html),
        SeaweedFS directory by directory, so that `a/b` comes before `a-b`, and S3
        directory buckets in none.
        """
        for page in self._pages(Prefix=prefix):
            for entry in page.get("Contents", ()):
                yield ListedObject(
                    key=entry["Key"],
                    size=entry["Size"],
                    etag=entry["ETag"].strip('"'),
                    last_modified=entry["LastModified"],
                )

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield what follows `prefix` in keys, up to and with the next slash, each once.

        Of `uploads/` these are the prefixes of the years. One request returns a
        thousand of them, however many objects are below.
        """
        for page in self._pages(Prefix=prefix, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"]

    def _pages(self, **parameters: Any) -> Iterator[ListObjectsV2OutputTypeDef]:
        token: dict[str, Any] = {}
        while True:
            page = self._store.retried(
                lambda s3, token=token: s3.list_objects_v2(  # type: ignore[misc]
                    Bucket=self._bucket, **parameters, **token
                )
            )
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def versions(self, prefix: str) -> Iterator[ObjectVersions]:
        """Yield every key under `prefix`, hidden by a delete marker or not, in order.

        In a bucket without versions each key has one.
        """
        token: dict[str, Any] = {}
        held: ObjectVersions | None = None
        while True:
            page = self._store.retried(
                lambda s3, token=token: s3.list_object_versions(  # type: ignore[misc]
                    Bucket=self._bucket, Prefix=prefix, **token
                )
            )
            for found in versions_of_page(dict(page)):
                # A key's versions can be spread over two pages.
                if held is not None and held.key != found.key:
                    yield held
                    held = None
                held = found if held is None else held.older(found)
            if not page.get("IsTruncated"):
                break
            token = {
                "KeyMarker": page["NextKeyMarker"],
                "VersionIdMarker": page["NextVersionIdMarker"],
            }
        if held is not None:
            yield held

    def has_object_lock(self) -> bool:
        """Return True if the bucket has Object Lock."""
        try:
            answer = self._store.retried(
                lambda s3: s3.get_object_lock_configuration(Bucket=self._bucket)
            )
        except StoreRefusedError as error:
            if error_code(error) in _NO_OBJECT_LOCK:
                return False
            raise
        return (
            answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled")
            == "Enabled"
        )

    def availability(self) -> str:
        """Return "ok", or in one line why the bucket cannot be used."""
        try:
            self._store.once(lambda s3: s3.head_bucket(Bucket=self._bucket))
        except (BucketMissingError, ObjectMissingError):
            return "unavailable: there is no such bucket"
        except StoreRedirectError as error:
            logger.warning("bucket elsewhere: %s", error)
            return "unavailable: the object store redirects to another address"
        except StoreRefusedError as error:
            logger.warning("bucket refused: %s", error)
            return "unavailable: the bucket refuses access"
        except StoreError as error:
            logger.warning("bucket unavailable: %s", error)
            return "unavailable: the object store does not answer"
        return "ok"

    def bucket_exists(self) -> bool:
        """Return True if the bucket exists."""
        try:
            self._store.retried(lambda s3: s3.head_bucket(Bucket=self._bucket))
        except (BucketMissingError, ObjectMissingError):
            return False
        return True
