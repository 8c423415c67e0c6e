"""Requests that create objects, the bucket, or delete an object."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from uploads.exceptions import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    StoreCredentialsError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from uploads.storage.client import StoreClient
from uploads.storage.errors import translated
from uploads.storage.multipart import PART_BYTES, MultipartUploads
from uploads.storage.objects import Payload, StoredObject, stored_object_from_put
from uploads.storage.reads import Reads

logger = logging.getLogger(__name__)

#: Called before each further attempt, with the number and error of the failed one.
OnRetry = Callable[[int, StoreUnavailableError], None]


class Writes:
    """Creates objects once in one bucket, and reports outcomes truthfully.

    `signed_puts` False sends whole objects through boto3.
    """

    def __init__(
        self,
        store: StoreClient,
        reads: Reads,
        multipart: MultipartUploads,
        *,
        signed_puts: bool,
    ) -> None:
        self._store = store
        self._reads = reads
        self._multipart = multipart
        self._signed_puts = signed_puts
        self._bucket = store.bucket

    def put_new(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any],
        on_retry: OnRetry | None,
    ) -> StoredObject:
        """See `UploadStorage.put_new`."""
        metadata = {**metadata, "sha256": payload.sha256}
        outcome_unknown = False
        for attempt in range(1, self._store.max_attempts + 1):
            try:
                return translated(
                    partial(self._put_once, key, payload, metadata, parameters)
                )
            except ObjectExistsError:
                return self._resolve_existing(key, payload, metadata)
            except StoreRefusedError as error:
                if not outcome_unknown:
                    raise
                # This attempt was refused; the outcome of an earlier one is open.
                return self._resolve_lost_answer(key, payload, metadata, error)
            except StoreUnavailableError as error:
                outcome_unknown = outcome_unknown or error.outcome_unknown
                last_error = error
            logger.warning(
                "key=%s attempt=%s of %s: %s",
                key,
                attempt,
                self._store.max_attempts,
                last_error,
            )
            if isinstance(last_error, StoreCredentialsError):
                break  # botocore has repeated its requests for them
            if attempt < self._store.max_attempts:
                self._store.pause(attempt)
                if on_retry is not None:
                    on_retry(attempt, last_error)
        if outcome_unknown:
            return self._resolve_lost_answer(key, payload, metadata, last_error)
        raise last_error

    def delete_unchanged(self, key: str, etag: str) -> None:
        """See `UploadStorage.delete_unchanged`."""
        try:
            self._store.retried(
                lambda s3: s3.delete_object(
                    Bucket=self._bucket, Key=key, IfMatch=f'"{etag}"'
                )
            )
        except (ObjectExistsError, ObjectMissingError) as error:
            raise ObjectChangedError(str(error)) from error

    def ensure_bucket(self) -> bool:
        """Create the bucket unless it exists; return True if it was created."""
        if self._reads.bucket_exists():
            return False
        configuration = self._store.configuration
        parameters: dict[str, Any] = {}
        if not configuration.endpoint_url and configuration.region != "us-east-1":
            # AWS takes no location for its first region; other stores ignore it.
            parameters["CreateBucketConfiguration"] = {
                "LocationConstraint": configuration.region
            }
        self._store.once(lambda s3: s3.create_bucket(Bucket=self._bucket, **parameters))
        return True

    def _put_once(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> StoredObject:
        answer: Mapping[str, Any]
        if payload.size > PART_BYTES:
            answer = self._multipart.create(key, payload, metadata, parameters)
        elif parameters or not self._signed_puts:
            answer = self._put_with_boto3(key, payload, metadata, parameters)
        else:
            answer = self._store.signed_puts.put_object(
                key, _whole(payload), payload.sha256, payload.content_type, metadata
            )
        return stored_object_from_put(payload, metadata, answer)

    def _put_with_boto3(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        checksum = base64.b64encode(bytes.fromhex(payload.sha256)).decode()
        return self._store.once(
            lambda s3: s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=_whole(payload),
                ContentType=payload.content_type,
                ChecksumSHA256=checksum,
                IfNoneMatch="*",
                Metadata=dict(metadata),
                **parameters,
            )
        )

    def _resolve_existing(
        self, key: str, payload: Payload, metadata: Mapping[str, str]
    ) -> StoredObject:
        """Decide after a 412 whether the object is the one that was meant."""
        try:
            found = self._reads.head(key)
            is_the_same = self._is_the_same(key, found, payload, metadata)
        except ObjectMissingError as error:
            raise StoreUnavailableError(
                "the key was taken, and a moment later it was not", outcome_unknown=True
            ) from error
        except StoreError as error:
            # An object has the key, and it may be ours: that it cannot be read is no
            # proof that it is another one.
            raise StoreUnavailableError(str(error), outcome_unknown=True) from error
        if is_the_same:
            return found
        raise ObjectExistsError("another object has this key")

    def _resolve_lost_answer(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        last_error: StoreError,
    ) -> StoredObject:
        """Look once whether the object was created although no answer arrived."""
        try:
            found = self._reads.head_once(key)
            is_the_same = self._is_the_same(key, found, payload, metadata)
        except StoreError as error:
            # Its absence proves nothing yet: the request may still be under way.
            raise StoreUnavailableError(
                str(last_error), outcome_unknown=True
            ) from error
        if is_the_same:
            return found
        raise ObjectExistsError("another object has this key")

    def _is_the_same(
        self,
        key: str,
        found: StoredObject,
        payload: Payload,
        metadata: Mapping[str, str],
    ) -> bool:
        """Compare with the store's checksum, or with the bytes; raises as `read`."""
        # Not the request id: a retry of the same upload has another one.
        if found.size != payload.size or (
            found.metadata.get("upload-id") != metadata.get("upload-id")
        ):
            return False
        if found.sha256_source == "store":
            return found.sha256 == payload.sha256
        # Anyone who can put an object under this key can write the right SHA-256 into
        # its metadata.
        digest = hashlib.sha256()
        for chunk in self._reads.read(key, 1024 * 1024, ""):
            digest.update(chunk)
        return digest.hexdigest() == payload.sha256


def _whole(payload: Payload) -> bytes:
    return b"".join(payload.parts(PART_BYTES))
