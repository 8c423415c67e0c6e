"""The storage of `STORAGES["default"]`: django-storages' S3 storage, never overwriting."""

from __future__ import annotations

import base64
import hashlib
import logging
import mimetypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import boto3
from django.core.files.storage import storages
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

from uploads.exceptions import (
    BucketMissingError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    OtherBucketError,
    StoreCredentialsError,
    StoreError,
    StoreFailedError,
    StoreRedirectError,
    StoreRefusedError,
    StoreUnavailableError,
)
from uploads.payloads import PART_BYTES, BytesPayload, Payload
from uploads.storage.client import OnRetry, StoreClient, etag_and_version
from uploads.storage.configuration import StoreConfiguration
from uploads.storage.errors import (
    error_from_status,
    store_errors,
    unreadable_answer,
)
from uploads.storage.multipart import (
    OBJECT_LOCK_MODE,
    MultipartUploads,
)
from uploads.storage.objects import (
    ListedObject,
    MultipartUpload,
    ObjectVersions,
    StoredObject,
    versions_in_order,
)

if TYPE_CHECKING:
    from django.core.files import File
    from mypy_boto3_s3 import S3Client

    from uploads.models import Upload

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024
#: Error codes of stores without Object Lock, and for buckets without it.
_NO_OBJECT_LOCK = frozenset(
    {
        "ObjectLockConfigurationNotFoundError",
        "ObjectLockConfigurationNotFound",
        "NotImplemented",
    }
)


class UploadStorage(S3Storage):
    """S3 storage that creates objects once and never overwrites one.

    The options of `STORAGES["default"]` are the fields of `StoreConfiguration`. The
    methods here raise nothing but `StoreError`; Django's own (`open`, `save`, `url`, …)
    are those of django-storages, with our client.
    """

    bucket_name: str

    def __init__(self, **options: Any) -> None:
        self.configuration = StoreConfiguration(**options)
        # django-storages needs no more: it uses our client.
        super().__init__(
            bucket_name=self.configuration.bucket_name, file_overwrite=False
        )
        self.store = StoreClient(self.configuration)
        self.multipart = MultipartUploads(self.store)

    @property
    def client(self) -> S3Client:
        """The boto3 client of this process, for all threads."""
        return self.store.transport.client

    def connect(self) -> None:
        """Build the client, which takes 0.2 s, before the first request needs it.

        A failure is logged, and the next request tries again.
        """
        try:
            self.store.connect()
        except StoreError as error:
            logger.warning("no connection to the object store yet: %s", error)

    # --- Django's storage interface ---------------------------------------------------

    @cached_property
    def connection(self) -> Any:
        """A boto3 resource that uses `client`; django-storages would create another client."""
        session = boto3.Session(botocore_session=self.configuration.session())
        resource = session.resource("s3", region_name=self.configuration.region_name)
        resource.meta.client = self.client
        return resource

    def _save(self, name: str, content: File[Any]) -> str:
        """Create through `put_new`, which never overwrites."""
        data = content.read()
        body = data.encode() if isinstance(data, str) else data
        key: str = clean_name(name)
        content_type = mimetypes.guess_type(key)[0] or self.default_content_type
        self.put_new(key, BytesPayload(body, content_type), {})
        return key

    # --- One object -------------------------------------------------------------------

    def put_new(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        *,
        locked_until: datetime | None = None,
        on_retry: OnRetry = lambda attempt, error: None,
    ) -> StoredObject:
        """Create the object `key`; the body's digest is added to its metadata.

        In a bucket with Object Lock it cannot be deleted before `locked_until`.
        `on_retry` is called before each further attempt, with the number of the attempt
        that failed and its error.

        An existing object with this content, and with the same `upload-id` in its
        metadata, is from an earlier attempt whose answer was lost: it counts as stored.

        Raises `ObjectExistsError` when another object has the key,
        `StoreRefusedError` when the store refuses, and `StoreUnavailableError` when it
        is unreachable or fails.
        """
        metadata = {**metadata, "sha256": payload.sha256}
        headers = {"content-type": payload.content_type, "if-none-match": "*"}
        for name, value in metadata.items():
            if not (value.isascii() and value.isprintable()):
                raise StoreRefusedError(
                    "the request to the object store was not sent"
                    f" (metadata {name} is not printable ASCII)"
                )
            headers[f"x-amz-meta-{name}"] = value
        if locked_until is not None:
            headers["x-amz-object-lock-mode"] = OBJECT_LOCK_MODE
            headers["x-amz-object-lock-retain-until-date"] = (
                f"{locked_until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            )
        outcome_unknown = False

        def put() -> tuple[str, str]:
            nonlocal outcome_unknown
            try:
                if payload.size > PART_BYTES:
                    # `create` also retries each part.
                    return self.multipart.create(key, payload, metadata, locked_until)
                body = list(payload.chunks())
                return self.store.put(
                    "PutObject", key, body, payload.sha256, headers=headers
                )
            except StoreUnavailableError as error:
                outcome_unknown = outcome_unknown or error.outcome_unknown
                logger.warning("key=%s PUT failed: %s", key, error)
                raise

        try:
            etag, version_id = self.store.with_retries(put, on_retry)
        except ObjectExistsError as error:
            return self._resolve(key, payload, metadata, error)
        except StoreError as error:
            # The error is that of the last attempt; an earlier one may have stored the
            # object.
            if not outcome_unknown:
                raise
            # A single HEAD: the store has just failed every attempt.
            return self._resolve(key, payload, metadata, error, retry=False)
        return StoredObject(
            size=payload.size,
            sha256=payload.sha256,
            etag=etag,
            version_id=version_id,
            metadata=metadata,
        )

    def _resolve(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        last_error: StoreError,
        *,
        retry: bool = True,
    ) -> StoredObject:
        """Return the object under `key` if an attempt of this upload created it.

        Raises `ObjectExistsError` for another object, and `StoreUnavailableError` with
        an unknown outcome when the object is missing (the request may still be in
        progress) or cannot be read (it may be this upload's).
        """
        try:
            found = self.head(key, retry=retry)
            is_from_store = found.sha256_source == "store"
            is_the_same = (
                found.size == payload.size
                # Not the request id: if the record was lost, a later request with the same
                # idempotency key makes the same upload under its own request id.
                and found.metadata.get("upload-id") == metadata.get("upload-id")
                # Not the SHA-256 in the metadata: anyone who can put an object under this
                # key can write the right one.
                and payload.sha256
                == (found.sha256 if is_from_store else self.read_digest(key)[0])
            )
        except StoreError as error:
            raise StoreUnavailableError(
                str(last_error), outcome_unknown=True
            ) from error
        if is_the_same:
            return found
        raise ObjectExistsError("another object has this key")

    def head(self, key: str, *, retry: bool = True) -> StoredObject:
        """Return size, checksum and metadata of an object.

        `sha256` is the one the store computed, or, for objects sent in parts, the
        one in the metadata. Raises `ObjectMissingError`, `BucketMissingError`,
        `StoreRefusedError` or `StoreUnavailableError`.
        """
        try:
            answer = self.store.call(
                "head_object", retry=retry, Key=key, ChecksumMode="ENABLED"
            )
        except ObjectMissingError:
            # The answer to HEAD has no body, so a missing bucket looks the same:
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
            if not self.bucket_exists():
                raise BucketMissingError(
                    f"there is no bucket {self.bucket_name}"
                ) from None
            raise
        with store_errors():
            return _stored_object(answer)

    def read(
        self, key: str, chunk_bytes: int = CHUNK_BYTES, version_id: str = ""
    ) -> Iterator[bytes]:
        """Yield an object's bytes; raises what `head` raises, even after some bytes.

        `version_id` selects a version other than the current one.
        """
        version: dict[str, Any] = {"VersionId": version_id} if version_id else {}
        answer = self.store.call("get_object", Key=key, **version)
        with closing(answer["Body"]) as body, store_errors():
            if "ETag" not in answer:  # such as a proxy's login page
                raise unreadable_answer("no ETag")
            while chunk := body.read(chunk_bytes):
                yield chunk

    def read_digest(
        self, key: str, on_chunk: Callable[[], None] = lambda: None
    ) -> tuple[str, int]:
        """Return an object's SHA-256, in hexadecimal, and its size; raises what `read` does.

        `on_chunk` is called after each chunk.
        """
        digest, size = hashlib.sha256(), 0
        for chunk in self.read(key):
            on_chunk()
            digest.update(chunk)
            size += len(chunk)
        return digest.hexdigest(), size

    def presigned_url(
        self, key: str, *, seconds: int, method: str = "GET", **parameters: str
    ) -> str:
        """Return a URL that anyone may GET, or HEAD, for `seconds`; sends no request.

        `parameters` are those of GetObject, such as `VersionId`.
        """
        s3 = self.store.client()
        with store_errors():
            return s3.generate_presigned_url(
                "head_object" if method == "HEAD" else "get_object",
                Params={"Bucket": self.bucket_name, "Key": key, **parameters},
                ExpiresIn=seconds,
            )

    def delete_unchanged(self, key: str, etag: str) -> None:
        """Delete the object `key` if it still has that ETag.

        Raises `ObjectChangedError` when it has another one or is missing (AWS answers
        404 for a missing key, SeaweedFS 412), `StoreRefusedError` when the store
        refuses, and `StoreUnavailableError` when it is unavailable: whether the object
        exists is unknown then.
        """
        try:
            answer = self.store.call("delete_object", Key=key, IfMatch=f'"{etag}"')
        # `ObjectExistsError` stands for each 412.
        except (ObjectExistsError, ObjectMissingError) as error:
            raise ObjectChangedError(str(error)) from error
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        if status != 204:  # such as a proxy's page saying that DELETE is blocked
            raise error_from_status(status, str(status))

    # --- Listings ---------------------------------------------------------------------

    def listing(self, prefix: str, start_after: str = "") -> Iterator[ListedObject]:
        """Yield every object under `prefix`, a page of 1,000 in memory at a time.

        With `start_after`, only those whose keys come after it in the store's order. That
        order depends on the store. S3 lists by the UTF-8 bytes of the key
        (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html);
        SeaweedFS lists directory by directory, so that `a/b` comes before `a-b`; S3
        directory buckets have no order.
        """
        start = {"StartAfter": start_after} if start_after else {}
        with store_errors():
            for page in self.store.pages("list_objects_v2", Prefix=prefix, **start):
                for entry in page.get("Contents", ()):
                    yield ListedObject(
                        key=entry["Key"],
                        size=entry["Size"],
                        etag=entry["ETag"].strip('"'),
                        last_modified=entry["LastModified"],
                    )

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys under `prefix`, in the order of `listing`."""
        return (entry.key for entry in self.listing(prefix))

    def versions(self, prefix: str) -> Iterator[ObjectVersions]:
        """Yield each key under `prefix` with its oldest version, in key order.

        In a bucket without versioning each key has exactly one version.
        """
        with store_errors():
            yield from versions_in_order(
                self.store.pages("list_object_versions", Prefix=prefix)
            )

    def oldest_version_id(self, key: str) -> str | None:
        """Return the id of the oldest version of `key` if it was overwritten or deleted.

        Otherwise return None: the key has at most one version, and reading without an id
        returns that one.
        """
        for found in self.versions(key):
            if found.key == key and not found.is_single:
                return found.oldest_id or None
        return None

    def multipart_uploads(self, prefix: str) -> Iterator[MultipartUpload]:
        """Yield the unfinished multipart uploads under `prefix`.

        They are in progress, or were abandoned after a failure. They are not objects,
        but their parts take space.
        """
        with store_errors():
            for page in self.store.pages("list_multipart_uploads", Prefix=prefix):
                for entry in page.get("Uploads", ()):
                    found = MultipartUpload(
                        key=entry["Key"],
                        upload_id=entry["UploadId"],
                        initiated_at=entry["Initiated"],
                    )
                    # A store may ignore the prefix, and reconciliation aborts what is
                    # yielded.
                    if found.key.startswith(prefix):
                        yield found

    # --- The bucket -------------------------------------------------------------------

    def bucket_exists(self) -> bool:
        try:
            self.store.call("head_bucket")
        except ObjectMissingError:
            # A missing bucket looks like a missing object here: the answer to HEAD has no
            # body, and so no error code.
            return False
        return True

    def ensure_bucket(self) -> bool:
        """Create the bucket unless it exists; return True if it was created."""
        if self.bucket_exists():
            return False
        region = self.configuration.region_name
        parameters: dict[str, Any] = {}
        if not self.configuration.endpoint_url and region != "us-east-1":
            # AWS rejects a LocationConstraint of us-east-1; other stores ignore any.
            parameters["CreateBucketConfiguration"] = {"LocationConstraint": region}
        self.store.call("create_bucket", retry=False, **parameters)
        return True

    def availability(self) -> str:
        """Return "ok", or why the bucket is unavailable."""
        try:
            self.store.call("head_bucket", retry=False)
        except StoreError as error:
            logger.warning("bucket unavailable: %s", error)
            return f"unavailable: {_why_unavailable(error)}"
        return "ok"

    def has_object_lock(self) -> bool:
        """Return True if the bucket has Object Lock."""
        try:
            answer = self.store.call("get_object_lock_configuration")
        except StoreRefusedError as error:
            if error.code in _NO_OBJECT_LOCK:
                return False
            raise
        configuration = answer.get("ObjectLockConfiguration", {})
        return bool(configuration.get("ObjectLockEnabled") == "Enabled")


def upload_storage() -> UploadStorage:
    """Return the storage of `STORAGES["default"]`; one object for all threads."""
    return cast(UploadStorage, storages["default"])


def storage_of(upload: Upload) -> UploadStorage:
    """Return the storage that holds the upload's object.

    Raises `OtherBucketError` when the record names another bucket than the configured
    one: what the configured bucket holds says nothing about this upload.
    """
    storage = upload_storage()
    if upload.bucket != storage.bucket_name:
        raise OtherBucketError(
            f"upload {upload.pk} is recorded in bucket {upload.bucket}, but the"
            f" configured bucket is {storage.bucket_name}"
        )
    return storage


def _stored_object(answer: Mapping[str, Any]) -> StoredObject:
    """Read an answer to HeadObject."""
    metadata = answer.get("Metadata", {})
    checksum = answer.get("ChecksumSHA256", "")
    # The composite checksum of a multipart upload (AWS: "…-<parts>") is no SHA-256 of
    # the content.
    if checksum and "-" not in checksum and answer.get("ChecksumType") != "COMPOSITE":
        digest = base64.b64decode(checksum, validate=True)
        if len(digest) != hashlib.sha256().digest_size:
            raise ValueError("no SHA-256")
        sha256, source = digest.hex(), "store"
    else:
        sha256 = metadata.get("sha256", "")
        source = "metadata" if sha256 else ""
    etag, version_id = etag_and_version(answer["ETag"], answer.get("VersionId"))
    return StoredObject(
        size=answer["ContentLength"],
        sha256=sha256,
        etag=etag,
        version_id=version_id,
        metadata=metadata,
        sha256_source=source,
        last_modified=answer.get("LastModified"),
    )


def _why_unavailable(error: StoreError) -> str:
    match error:
        case ObjectMissingError():  # the answer to a HEAD of a missing bucket
            return "there is no such bucket"
        case StoreRedirectError():
            return "the object store redirects to another URL or region"
        case StoreRefusedError():
            return "the bucket refuses access"
        case StoreCredentialsError():
            return "there are no credentials for the object store"
        case StoreFailedError():
            return "the object store answers with a failure"
        case _:
            return "the object store does not answer"
