"""The storage of `STORAGES["default"]`."""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import boto3
from storages.backends.s3 import S3Storage
from storages.utils import clean_name

from uploads.exceptions import StoreError
from uploads.storage.client import StoreClient, StoreConfiguration
from uploads.storage.multipart import MultipartUploads
from uploads.storage.objects import (
    BytesPayload,
    ListedObject,
    ObjectVersions,
    Payload,
    StoredObject,
    UnfinishedUpload,
)
from uploads.storage.reads import Reads
from uploads.storage.writes import OnRetry, Writes

if TYPE_CHECKING:
    from django.core.files import File
    from mypy_boto3_s3 import S3Client


logger = logging.getLogger(__name__)


class UploadStorage(S3Storage):
    """S3 storage that creates objects once and never overwrites one.

    Options beyond django-storages': `connect_timeout` and `read_timeout` in seconds,
    `max_attempts` for one request, `max_pool_connections`, and `signed_puts`: False
    sends whole objects through boto3 (see uploads.storage.signed_puts).
    """

    bucket_name: str
    endpoint_url: str | None
    region_name: str | None
    connect_timeout: float
    read_timeout: float
    max_attempts: int
    max_pool_connections: int
    signed_puts: bool

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._compose()

    def get_default_settings(self) -> dict[str, Any]:
        return super().get_default_settings() | {
            "connect_timeout": 2.0,
            "read_timeout": 5.0,
            "max_attempts": 2,
            "max_pool_connections": 10,
            "signed_puts": True,
            "file_overwrite": False,
        }

    def _compose(self) -> None:
        self.store = StoreClient(
            StoreConfiguration(
                bucket=self.bucket_name,
                region=self.region_name,
                endpoint_url=self.endpoint_url,
                access_key=self.access_key,
                secret_key=self.secret_key,
                session_token=self.security_token,
                profile=self.session_profile,
                verify=self.verify,
                connect_timeout=self.connect_timeout,
                read_timeout=self.read_timeout,
                max_attempts=self.max_attempts,
                max_connections=self.max_pool_connections,
            )
        )
        self._resource: Any = None
        self._reads = Reads(self.store)
        self._multipart = MultipartUploads(self.store)
        self._writes = Writes(
            self.store, self._reads, self._multipart, signed_puts=self.signed_puts
        )

    @property
    def client(self) -> S3Client:
        """The boto3 client of this process, for all threads. Raises `StoreError`."""
        return self.store.s3

    def connect(self) -> None:
        """Build the clients, which takes 0.2 s, before the first request needs them.

        A failure is logged, and the next request tries again.
        """
        try:
            _ = self.store.signed_puts
        except StoreError as error:
            logger.warning("no connection to the object store yet: %s", error)

    def close(self) -> None:
        """Close the connections to the store."""
        self.store.close()

    # --- Reads ------------------------------------------------------------------------

    def head(self, key: str) -> StoredObject:
        """Return size, checksum and metadata of an object; see `Reads.head`."""
        return self._reads.head(key)

    def read(
        self, key: str, chunk_bytes: int = 1024 * 1024, version_id: str = ""
    ) -> Iterator[bytes]:
        """Yield an object's bytes; raises as `head` does, also half-way.

        `version_id` asks for another version than the current one.
        """
        return self._reads.read(key, chunk_bytes, version_id)

    def presigned_url(
        self,
        key: str,
        *,
        seconds: int,
        method: str = "GET",
        **parameters: str,
    ) -> str:
        """Return an address that anyone may GET, or HEAD, for `seconds`; asks nothing.

        `parameters` are those of GetObject, such as `VersionId`. Raises `StoreError`.
        """
        return self._reads.presigned_url(
            key, seconds=seconds, method=method, **parameters
        )

    def listing(self, prefix: str) -> Iterator[ListedObject]:
        """Yield every object under `prefix`; see `Reads.listing` for their order."""
        return self._reads.listing(prefix)

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys under `prefix`, in the order of `listing`."""
        return (entry.key for entry in self.listing(prefix))

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield what follows `prefix` in keys, up to and with the next slash, each once."""
        return self._reads.folders(prefix)

    def versions(self, prefix: str) -> Iterator[ObjectVersions]:
        """Yield every key under `prefix`, hidden by a delete marker or not, in order."""
        return self._reads.versions(prefix)

    def first_version(self, key: str) -> str | None:
        """Return the id of the oldest version of `key` if a newer one or a marker hides it."""
        for found in self.versions(key):
            if found.key == key and not found.is_single:
                return found.first_id or None
        return None

    def has_object_lock(self) -> bool:
        """Return True if the bucket has Object Lock; raises as `head` does."""
        return self._reads.has_object_lock()

    def availability(self) -> str:
        """Return "ok", or in one line why the bucket cannot be used."""
        return self._reads.availability()

    def bucket_exists(self) -> bool:
        """Return True if the bucket exists; raises `StoreError`."""
        return self._reads.bucket_exists()

    def require_bucket(self) -> None:
        """Raise `BucketMissingError` unless the bucket exists, or another `StoreError`."""
        self._reads.require_bucket()

    # --- Writes -----------------------------------------------------------------------

    def put_new(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any] | None = None,
        *,
        on_retry: OnRetry | None = None,
    ) -> StoredObject:
        """Create the object `key`; the body's digest goes into its metadata as well.

        `parameters` are further ones that PutObject and CreateMultipartUpload both
        take, such as those of Object Lock. `on_retry` is called before each further
        attempt, with the number of the attempt that failed and its error.

        An object that exists already is compared: with the same SHA-256 and the same
        `upload-id` in its metadata it is the one meant here, whose answer was lost,
        and counts as stored.

        Raises `ObjectExistsError` when another object has the key,
        `StoreRefusedError` when the store refuses, and `StoreUnavailableError` when it
        is unreachable or fails.
        """
        return self._writes.put_new(key, payload, metadata, parameters or {}, on_retry)

    def delete_unchanged(self, key: str, etag: str) -> None:
        """Delete the object `key` if it still has that ETag.

        Raises `ObjectChangedError` when it has another one or is missing (AWS answers
        404 for a missing key, SeaweedFS 412), `StoreRefusedError` when the store
        refuses, and `StoreUnavailableError` when it is unavailable: whether the object
        exists is unknown then.
        """
        self._writes.delete_unchanged(key, etag)

    def ensure_bucket(self) -> bool:
        """Create the bucket unless it exists; return True if it was created."""
        return self._writes.ensure_bucket()

    def unfinished(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Yield the uploads in parts under `prefix` that are neither completed nor aborted."""
        return self._multipart.unfinished(prefix)

    def abort_unfinished(self, unfinished: UnfinishedUpload) -> None:
        """Discard the parts, if there are any. Raises `StoreError`."""
        self._multipart.abort_unfinished(unfinished)

    # --- Django's storage interface ---------------------------------------------------

    @property
    def connection(self) -> Any:
        """A boto3 resource on our client; django-storages builds one for each thread."""
        if self._resource is None:
            session = boto3.Session(botocore_session=self.store.configuration.session())
            resource = session.resource("s3", region_name=self.region_name)
            resource.meta.client = self.client
            self._resource = resource
        return self._resource

    def _save(self, name: str, content: File[Any]) -> str:
        """Create through `put_new`, which never overwrites."""
        content.seek(0)
        data = content.read()
        body = data.encode() if isinstance(data, str) else data
        key: str = clean_name(name)
        content_type = mimetypes.guess_type(key)[0] or self.default_content_type
        self.put_new(key, BytesPayload(body, content_type), {})
        return key

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        for name in ("store", "_resource", "_reads", "_multipart", "_writes"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._compose()
