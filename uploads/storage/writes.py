"""Creating objects: what an attempt's unclear answer means."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from uploads.exceptions import ObjectExistsError, StoreError, StoreUnavailableError
from uploads.payloads import Payload
from uploads.storage.client import OnRetry
from uploads.storage.multipart import PART_BYTES
from uploads.storage.objects import StoredObject

if TYPE_CHECKING:
    from uploads.storage.backend import UploadStorage

logger = logging.getLogger(__name__)


def put_new(
    storage: UploadStorage,
    key: str,
    payload: Payload,
    metadata: Mapping[str, str],
    locked_until: datetime | None,
    on_retry: OnRetry,
) -> StoredObject:
    """See `UploadStorage.put_new`."""
    metadata = {**metadata, "sha256": payload.sha256}
    outcome_unknown = False

    def put() -> StoredObject:
        nonlocal outcome_unknown
        try:
            return _put(storage, key, payload, metadata, locked_until)
        except StoreUnavailableError as error:
            outcome_unknown = outcome_unknown or error.outcome_unknown
            logger.warning("key=%s not put: %s", key, error)
            raise

    try:
        return storage.store.with_retries(put, on_retry)
    except ObjectExistsError as error:
        return _resolve(storage, storage.head, key, payload, metadata, error)
    except StoreError as error:
        # A refusal is about the last attempt; the outcome of an earlier one may be open.
        if not outcome_unknown:
            raise
        return _resolve(storage, storage.head_once, key, payload, metadata, error)


def _put(
    storage: UploadStorage,
    key: str,
    payload: Payload,
    metadata: Mapping[str, str],
    locked_until: datetime | None,
) -> StoredObject:
    """Send the object once; each part may be repeated."""
    if payload.size > PART_BYTES:
        etag, version_id = storage.multipart.create(
            key, payload, metadata, locked_until
        )
    else:
        body = next(payload.parts(PART_BYTES), b"")
        etag, version_id = storage.store.signed_puts.put_object(
            key, body, payload.sha256, payload.content_type, metadata, locked_until
        )
    return StoredObject(
        size=payload.size,
        sha256=payload.sha256,
        etag=etag,
        version_id=version_id,
        metadata=metadata,
    )


def _resolve(
    storage: UploadStorage,
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
        is_the_same = _is_the_same(storage, key, found, payload, metadata)
    except StoreError as error:
        raise StoreUnavailableError(str(last_error), outcome_unknown=True) from error
    if is_the_same:
        return found
    raise ObjectExistsError("another object has this key")


def _is_the_same(
    storage: UploadStorage,
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
    return storage.read_digest(key)[0] == payload.sha256
