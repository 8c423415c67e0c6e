"""The bucket: django-storages' S3 backend, made to create and never to overwrite."""

from __future__ import annotations

import base64
import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import botocore.handlers
from botocore.config import Config
from botocore.utils import parse_timestamp
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

from mirrorsite.metrics import watch_store
from uploads.exceptions import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from uploads.store_answers import error_code, translated

if TYPE_CHECKING:
    from django.core.files import File
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: Above this a body is sent in parts of this size.
PART_BYTES = 8 * 1024 * 1024
#: S3's own limit: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MAX_PARTS = 10_000


#: What stores say that know no Object Lock, or of a bucket without it.
_NO_OBJECT_LOCK = frozenset(
    {
        "ObjectLockConfigurationNotFoundError",
        "ObjectLockConfigurationNotFound",
        "NotImplemented",
    }
)


class Payload(Protocol):
    """Bytes of known length and digest that can be read from the start many times."""

    content_type: str

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def parts(self, part_bytes: int) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What the bucket holds under a key."""

    size: int
    sha256: str
    etag: str
    version_id: str
    metadata: Mapping[str, str]
    #: Who says what the SHA-256 is: the store computed it ("store"), or whoever put
    #: the object wrote it beside it ("metadata"); empty when nobody says.
    sha256_source: str = ""
    #: When the store took it; None in the answer to a PUT, which does not tell.
    last_modified: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """What a listing tells of an object: no checksum, no metadata."""

    key: str
    size: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class ObjectVersions:
    """A key with its oldest version; `count` is of versions and delete markers."""

    key: str
    first_id: str
    count: int

    @property
    def is_single(self) -> bool:
        """Tell whether the object is as it was first written."""
        return self.count == 1 and bool(self.first_id)

    def older(self, other: ObjectVersions) -> ObjectVersions:
        """Add what the next page tells of the same key."""
        return ObjectVersions(
            self.key, other.first_id or self.first_id, self.count + other.count
        )


class BytesPayload:
    """A body that is in memory already."""

    def __init__(
        self, content: bytes, content_type: str = "application/octet-stream"
    ) -> None:
        self.content_type = content_type
        self._content = content
        self.size = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()

    def parts(self, part_bytes: int) -> Iterator[bytes]:
        for start in range(0, self.size, part_bytes):
            yield self._content[start : start + part_bytes]


class UploadStorage(S3Storage):
    """S3 storage that creates objects once and says truly what became of them.

    Options beyond django-storages': `connect_timeout` and `read_timeout` in seconds,
    `max_attempts` for one request, `max_pool_connections`.
    """

    connect_timeout: float
    read_timeout: float
    max_attempts: int
    max_pool_connections: int
    bucket_name: str

    def __init__(self, **options: Any) -> None:
        self._client: S3Client | None = None
        self._client_lock = threading.Lock()
        super().__init__(**options)
        self.client_config = Config(
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            max_pool_connections=self.max_pool_connections,
            # Attempts are counted here: botocore does not tell whether an earlier
            # one, whose answer was lost, may have been carried out.
            retries={"mode": "standard", "total_max_attempts": 1},
            # The default CRC32 trailer breaks several S3-compatible stores; each
            # body has an explicit SHA-256 instead.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if self.endpoint_url else "auto"},
            signature_version="s3v4",
            tcp_keepalive=True,
        )

    def get_default_settings(self) -> dict[str, Any]:
        return super().get_default_settings() | {
            "connect_timeout": 2.0,
            "read_timeout": 5.0,
            "max_attempts": 2,
            "max_pool_connections": 10,
            "file_overwrite": False,
        }

    # --- The client ----------------------------------------------------------------

    @property
    def client(self) -> S3Client:
        """The one client of this process; clients are safe for threads, and slow to build."""
        if self._client is None:
            with self._client_lock:
                if self._client is None:
                    self._client = self._build_client()
        return self._client

    @property
    def connection(self) -> Any:
        """django-storages builds a resource per thread; one with our client serves all."""
        if getattr(self._connections, "connection", None) is None:
            resource = self._create_session().resource(
                "s3",
                region_name=self.region_name,
                endpoint_url=self.endpoint_url,
                config=self.client_config,
            )
            resource.meta.client = self.client
            self._connections.connection = resource
        return self._connections.connection

    def _build_client(self) -> S3Client:
        session = self._create_session()
        # Two thirds of the time of a listing would go into guessing, object by
        # object, how its time is written. boto3 keeps botocore's session private.
        parsers = session._session.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=parse_store_time)
        client = session.client(
            "s3",
            region_name=self.region_name,
            use_ssl=self.use_ssl,
            endpoint_url=self.endpoint_url,
            config=self.client_config,
            verify=self.verify,
        )
        # "Expect: 100-continue" costs a round trip before each small body.
        client.meta.events.unregister(
            "before-call.s3", botocore.handlers.add_expect_header
        )
        watch_store(client)
        return client

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_client"], state["_client_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(
            state | {"_client": None, "_client_lock": threading.Lock()}
        )

    # --- Creating ------------------------------------------------------------------

    def put_new(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any] | None = None,
    ) -> StoredObject:
        """Create the object `key`; the body's digest goes into its metadata as well.

        `parameters` are further ones that PutObject and CreateMultipartUpload both
        take, such as those of Object Lock.

        An object that is there already is compared: with the same SHA-256 and the
        same `upload-id` in its metadata it is the one meant here, whose answer was
        lost, and counts as stored.

        Raises `ObjectExistsError` when another object has the key,
        `StoreRefusedError` when the store says no, and `StoreUnavailableError` when
        it is away or fails.
        """
        metadata = {**metadata, "sha256": payload.sha256}
        outcome_unknown = False
        for attempt in range(1, self.max_attempts + 1):
            try:
                return self._put_once(key, payload, metadata, parameters or {})
            except ObjectExistsError:
                return self._settle_existing(key, payload, metadata)
            except StoreUnavailableError as error:
                outcome_unknown = outcome_unknown or error.outcome_unknown
                logger.warning(
                    "key=%s attempt=%s of %s: %s",
                    key,
                    attempt,
                    self.max_attempts,
                    error,
                )
                message = str(error)
            if attempt < self.max_attempts:
                self._pause(attempt)
        if outcome_unknown:
            return self._settle_lost_answer(key, payload, metadata, message)
        raise StoreUnavailableError(message, outcome_unknown=False)

    def _put_once(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> StoredObject:
        if payload.size <= PART_BYTES:
            return self._put_whole(key, payload, metadata, parameters)
        return self._put_parts(key, payload, metadata, parameters)

    def _put_whole(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> StoredObject:
        answer = translated(
            lambda: self.client.put_object(
                Bucket=self.bucket_name,
                Key=key,
                Body=b"".join(payload.parts(PART_BYTES)),
                ContentType=payload.content_type,
                ChecksumSHA256=base64.b64encode(bytes.fromhex(payload.sha256)).decode(),
                IfNoneMatch="*",
                Metadata=dict(metadata),
                **parameters,
            )
        )
        return _stored(payload, metadata, answer)

    def _put_parts(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> StoredObject:
        """Send the body in parts, one at a time, so that one part is in memory."""
        upload_id = self._retried(
            lambda: self.client.create_multipart_upload(
                Bucket=self.bucket_name,
                Key=key,
                ContentType=payload.content_type,
                Metadata=dict(metadata),
                ChecksumAlgorithm="SHA256",
                **parameters,
            )
        )["UploadId"]
        try:
            parts: list[CompletedPartTypeDef] = []
            bodies = payload.parts(PART_BYTES)
            # No name for the body here: it would stay in memory beside the next one.
            while part := self._put_part(key, upload_id, len(parts) + 1, bodies):
                parts.append(part)
        except StoreUnavailableError as error:
            self._abort(key, upload_id)
            # Parts alone are no object: nothing can be there.
            raise StoreUnavailableError(str(error), outcome_unknown=False) from error
        except BaseException:
            self._abort(key, upload_id)
            raise
        try:
            answer = translated(
                lambda: self.client.complete_multipart_upload(
                    Bucket=self.bucket_name,
                    Key=key,
                    UploadId=upload_id,
                    MultipartUpload={"Parts": parts},
                    IfNoneMatch="*",
                )
            )
        except BaseException:
            self._abort(key, upload_id)
            raise
        return _stored(payload, metadata, answer)

    def _put_part(
        self, key: str, upload_id: str, number: int, bodies: Iterator[bytes]
    ) -> CompletedPartTypeDef | None:
        """Send the next body as part `number`; None when there is none left."""
        body = next(bodies, None)
        if body is None:
            return None
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        answer = self._retried(
            lambda: self.client.upload_part(
                Bucket=self.bucket_name,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=body,
                ChecksumSHA256=checksum,
            )
        )
        return {
            "ETag": answer["ETag"],
            "PartNumber": number,
            "ChecksumSHA256": checksum,
        }

    def _abort(self, key: str, upload_id: str) -> None:
        """Throw the parts away; the bucket's lifecycle rule does it if this fails."""
        try:
            translated(
                lambda: self.client.abort_multipart_upload(
                    Bucket=self.bucket_name, Key=key, UploadId=upload_id
                )
            )
        except StoreError as error:
            logger.warning("key=%s multipart upload not aborted: %s", key, error)

    def _settle_existing(
        self, key: str, payload: Payload, metadata: Mapping[str, str]
    ) -> StoredObject:
        """Decide after a 412 whether the object is the one that was meant."""
        try:
            found = self.head(key)
        except ObjectMissingError as error:
            raise StoreUnavailableError(
                "the key was taken, and then it was not", outcome_unknown=True
            ) from error
        except StoreUnavailableError as error:
            raise StoreUnavailableError(str(error), outcome_unknown=True) from error
        if _is_the_same(found, payload, metadata):
            return found
        raise ObjectExistsError("another object has this key")

    def _settle_lost_answer(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        message: str,
    ) -> StoredObject:
        """Look once whether the object got there although no answer said so."""
        try:
            found = self._head_once(key)
        except StoreError as error:
            # Its absence proves nothing yet: the request may still be under way.
            raise StoreUnavailableError(message, outcome_unknown=True) from error
        if _is_the_same(found, payload, metadata):
            return found
        raise ObjectExistsError("another object has this key")

    def _retried(self, request: Callable[[], T]) -> T:
        """Carry out a request that may be repeated; for parts and questions."""
        for attempt in range(1, self.max_attempts):
            try:
                return translated(request)
            except StoreUnavailableError:
                self._pause(attempt)
        return translated(request)

    def _pause(self, attempt: int) -> None:
        # Full jitter, so that clients of a store that came back do not return as one.
        time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311

    # --- Asking --------------------------------------------------------------------

    def head(self, key: str) -> StoredObject:
        """Return what the bucket says of `key`.

        `sha256` is the one the store computed, or, for objects sent in parts, the
        one in the metadata. Raises `ObjectMissingError`, `StoreRefusedError` or
        `StoreUnavailableError`.
        """
        return self._retried(partial(self._head_once, key))

    def _head_once(self, key: str) -> StoredObject:
        answer = translated(
            lambda: self.client.head_object(
                Bucket=self.bucket_name, Key=key, ChecksumMode="ENABLED"
            )
        )
        return stored_object_from_head(dict(answer))

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
        more: dict[str, Any] = {}
        while True:
            page = self._retried(
                partial(
                    self.client.list_objects_v2,
                    Bucket=self.bucket_name,
                    Prefix=prefix,
                    **more,
                )
            )
            for entry in page.get("Contents", ()):
                yield ListedObject(
                    key=entry["Key"],
                    size=entry["Size"],
                    etag=entry["ETag"].strip('"'),
                    last_modified=entry["LastModified"],
                )
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
            for found in _versions_of_page(dict(page)):
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
        except ObjectMissingError:
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
        except ObjectMissingError:
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

    # --- Deleting ------------------------------------------------------------------

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


def parse_store_time(value: Any) -> datetime:
    """Read a point of time as botocore does, only faster where it is ISO 8601."""
    if isinstance(value, str) and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    parsed: datetime = parse_timestamp(value)
    return parsed


def _versions_of_page(page: Mapping[str, Any]) -> Iterator[ObjectVersions]:
    """Sum up one answer of ListObjectVersions; each key's newest version is first."""
    found: dict[str, ObjectVersions] = {}
    for entry in page.get("Versions", ()):
        one = ObjectVersions(entry["Key"], entry.get("VersionId") or "null", 1)
        found[one.key] = found[one.key].older(one) if one.key in found else one
    for entry in page.get("DeleteMarkers", ()):
        one = ObjectVersions(entry["Key"], "", 1)
        found[one.key] = found[one.key].older(one) if one.key in found else one
    for key in sorted(found):
        yield found[key]


def stored_object_from_head(answer: Mapping[str, Any]) -> StoredObject:
    """Read a HeadObject answer."""
    metadata = answer.get("Metadata", {})
    checksum = answer.get("ChecksumSHA256", "")
    # A checksum of checksums ends in -<parts>; it is no digest of the content.
    if checksum and "-" not in checksum and answer.get("ChecksumType") != "COMPOSITE":
        sha256, source = base64.b64decode(checksum).hex(), "store"
    else:
        sha256 = metadata.get("sha256", "")
        source = "metadata" if sha256 else ""
    return StoredObject(
        size=answer["ContentLength"],
        sha256=sha256,
        etag=answer.get("ETag", "").strip('"'),
        version_id=_version(answer),
        metadata=metadata,
        sha256_source=source,
        last_modified=answer.get("LastModified"),
    )


def _stored(
    payload: Payload, metadata: Mapping[str, str], answer: Mapping[str, Any]
) -> StoredObject:
    return StoredObject(
        size=payload.size,
        sha256=payload.sha256,
        etag=answer.get("ETag", "").strip('"'),
        version_id=_version(answer),
        metadata=metadata,
    )


def _version(answer: Mapping[str, Any]) -> str:
    version: str = answer.get("VersionId") or ""
    # A bucket without versioning may say so with this word.
    return "" if version == "null" else version


def _is_the_same(
    found: StoredObject, payload: Payload, metadata: Mapping[str, str]
) -> bool:
    # Not the request id: a retry under the same upload comes with another one.
    return (
        found.size == payload.size
        and found.sha256 == payload.sha256
        and found.metadata.get("upload-id") == metadata.get("upload-id")
    )
