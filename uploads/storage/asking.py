"""Asking what is in the bucket, and what the bucket is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from uploads.exceptions import (
    BucketMissingError,
    ObjectMissingError,
    StoreError,
    StoreRefusedError,
)
from uploads.storage.answers import error_code, translated
from uploads.storage.client import ClientStorage
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

#: What stores say that know no Object Lock, or of a bucket without it.
_NO_OBJECT_LOCK = frozenset(
    {
        "ObjectLockConfigurationNotFoundError",
        "ObjectLockConfigurationNotFound",
        "NotImplemented",
    }
)


class AskingStorage(ClientStorage):
    """What reads the bucket and changes nothing, but for making the bucket itself."""

    def head(self, key: str) -> StoredObject:
        """Return what the bucket says of `key`.

        `sha256` is the one the store computed, or, for objects sent in parts, the
        one in the metadata. Raises `ObjectMissingError`, `BucketMissingError`,
        `StoreRefusedError` or `StoreUnavailableError`.
        """
        return self._retried(partial(self._head_once, key))

    def _head_once(self, key: str) -> StoredObject:
        try:
            answer = translated(
                lambda: self.client.head_object(
                    Bucket=self.bucket_name, Key=key, ChecksumMode="ENABLED"
                )
            )
        except ObjectMissingError:
            # The answer to HEAD has no body, so a bucket that is not there looks the
            # same: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
            self.require_bucket()
            raise
        return stored_object_from_head(dict(answer))

    def require_bucket(self) -> None:
        """Raise `BucketMissingError` unless the bucket is there, or another `StoreError`."""
        if not self.bucket_exists():
            raise BucketMissingError(f"there is no bucket {self.bucket_name}")

    def read(
        self, key: str, chunk_bytes: int = 1024 * 1024, version_id: str = ""
    ) -> Iterator[bytes]:
        """Yield the object's bytes; raises as `head` does, also half-way.

        `version_id` asks for another version than the current one.
        """
        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        answer = self._retried(
            lambda: self.client.get_object(Bucket=self.bucket_name, Key=key, **version)
        )
        body = answer["Body"]
        try:
            while chunk := translated(lambda: body.read(chunk_bytes)):
                yield chunk
        finally:
            body.close()

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys under `prefix`, in the order of `listing`."""
        return (entry.key for entry in self.listing(prefix))

    def listing(self, prefix: str) -> Iterator[ListedObject]:
        """Yield every object under `prefix`, a page of 1,000 in memory at a time.

        The order is the store's own: S3 lists by the UTF-8 bytes of the key
        (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html),
        SeaweedFS directory by directory, so that `a/b` comes before `a-b`, and S3
        directory buckets in none. Raises `StoreError`, also half-way.
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

        Of `uploads/` these are the prefixes of the years. One request tells a thousand
        of them, whatever lies below. Raises `StoreError`, also half-way.
        """
        for page in self._pages(Prefix=prefix, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                yield entry["Prefix"]

    def _pages(self, **asked: Any) -> Iterator[ListObjectsV2OutputTypeDef]:
        more: dict[str, Any] = {}
        while True:
            page = self._retried(
                partial(
                    self.client.list_objects_v2,
                    Bucket=self.bucket_name,
                    **asked,
                    **more,
                )
            )
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def versions(self, prefix: str) -> Iterator[ObjectVersions]:
        """Yield every key under `prefix`, hidden by a delete marker or not, in order.

        In a bucket without versions each key has one.
        """
        token: dict[str, Any] = {}
        held: ObjectVersions | None = None
        while True:
            page = self._retried(
                partial(
                    self.client.list_object_versions,
                    Bucket=self.bucket_name,
                    Prefix=prefix,
                    **token,
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

    def first_version(self, key: str) -> str | None:
        """Return the id of the oldest version of `key` if something lies over it."""
        for found in self.versions(key):
            if found.key == key and not found.is_single:
                return found.first_id or None
        return None

    def has_object_lock(self) -> bool:
        """Tell whether the bucket has Object Lock; raises as `head` does."""
        try:
            answer = self._retried(
                lambda: self.client.get_object_lock_configuration(
                    Bucket=self.bucket_name
                )
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
        """Say "ok", or in one line why the bucket cannot be used."""
        try:
            translated(lambda: self.client.head_bucket(Bucket=self.bucket_name))
        except (BucketMissingError, ObjectMissingError):
            return "unavailable: there is no such bucket"
        except StoreRefusedError as error:
            logger.warning("bucket refused: %s", error)
            return "unavailable: the bucket refuses access"
        except StoreError as error:
            logger.warning("bucket unavailable: %s", error)
            return "unavailable: the object store does not answer"
        return "ok"

    def bucket_exists(self) -> bool:
        """Tell whether the bucket is there; raises `StoreError`."""
        try:
            self._retried(lambda: self.client.head_bucket(Bucket=self.bucket_name))
        except (BucketMissingError, ObjectMissingError):
            return False
        return True

    def ensure_bucket(self) -> bool:
        """Create the bucket unless it exists; tell whether it was created."""
        if self.bucket_exists():
            return False
        if self.endpoint_url or self.region_name == "us-east-1":
            # AWS takes no location for its first region; other stores ignore it.
            create = partial(self.client.create_bucket, Bucket=self.bucket_name)
        else:
            create = partial(
                self.client.create_bucket,
                Bucket=self.bucket_name,
                CreateBucketConfiguration={"LocationConstraint": self.region_name},
            )
        translated(create)
        return True
