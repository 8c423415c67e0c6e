"""Creating objects: attempts, and what an unclear answer means."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from uploads.exceptions import (
    ObjectExistsError,
    StoreCredentialsError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from uploads.payloads import Payload
from uploads.storage.client import StoreClient
from uploads.storage.errors import translated
from uploads.storage.multipart import PART_BYTES, MultipartUploads
from uploads.storage.objects import StoredObject, stored_object_from_put
from uploads.storage.reads import Reader

logger = logging.getLogger(__name__)

#: Called before each further attempt, with the number and error of the failed one.
OnRetry = Callable[[int, StoreError], None]


class Writer:
    """Creates each object once, and reports outcomes truthfully."""

    def __init__(
        self, store: StoreClient, multipart: MultipartUploads, reader: Reader
    ) -> None:
        self._store = store
        self._multipart = multipart
        self._reader = reader

    def put_new(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        locked_until: datetime | None,
        on_retry: OnRetry,
    ) -> StoredObject:
        """See `UploadStorage.put_new`."""
        metadata = {**metadata, "sha256": payload.sha256}
        attempts = self._store.configuration.max_attempts
        outcome_unknown = False
        for attempt in range(1, attempts + 1):
            try:
                return self._put_once(key, payload, metadata, locked_until)
            except ObjectExistsError as error:
                return self._resolve(self._reader.head, key, payload, metadata, error)
            except StoreRefusedError as error:
                if not outcome_unknown:
                    raise
                last_error: StoreError = error
                break  # this attempt was refused; the outcome of an earlier one is open
            except StoreUnavailableError as error:
                outcome_unknown = outcome_unknown or error.outcome_unknown
                last_error = error
            logger.warning(
                "key=%s attempt=%s of %s: %s", key, attempt, attempts, last_error
            )
            # botocore has repeated its own requests for credentials.
            if attempt == attempts or isinstance(last_error, StoreCredentialsError):
                break
            self._store.pause(attempt)
            on_retry(attempt, last_error)
        if not outcome_unknown:
            raise last_error
        return self._resolve(self._reader.head_once, key, payload, metadata, last_error)

    def _put_once(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        locked_until: datetime | None,
    ) -> StoredObject:
        answer = self._send(key, payload, metadata, locked_until)
        return translated(lambda: stored_object_from_put(payload, metadata, answer))

    def _send(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        locked_until: datetime | None,
    ) -> Mapping[str, Any]:
        if payload.size > PART_BYTES:
            return self._multipart.create(key, payload, metadata, locked_until)
        body = next(payload.parts(PART_BYTES), b"")
        return self._store.signed_puts.put_object(
            key, body, payload.sha256, payload.content_type, metadata, locked_until
        )

    def _resolve(
        self,
        head: Callable[[str], StoredObject],
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        last_error: StoreError,
    ) -> StoredObject:
        """Return the object under `key` if it is this upload's, though no answer confirmed it.

        Raises `ObjectExistsError` for another object, and `StoreUnavailableError` with
        an unknown outcome when the object is missing (the request may still be in
        progress) or cannot be read (it may be this upload's).
        """
        try:
            found = head(key)
            is_the_same = self._is_the_same(key, found, payload, metadata)
        except StoreError as error:
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
        return self._reader.read_digest(key)[0] == payload.sha256
