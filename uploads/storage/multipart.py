"""Creates objects by multipart uploads.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

import base64
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from uploads.exceptions import (
    ObjectMissingError,
    StoreError,
    StoreUnavailableError,
)
from uploads.payloads import Part, Payload
from uploads.storage.client import StoreClient, etag_and_version
from uploads.storage.errors import store_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

logger = logging.getLogger(__name__)

#: COMPLIANCE, because a permission allows its holder to bypass a GOVERNANCE lock.
OBJECT_LOCK_MODE: Final = "COMPLIANCE"
#: Parts sent concurrently: up to 24 MiB of a file are then in memory.
PARTS_IN_FLIGHT = 3


class MultipartUploads:
    """Multipart uploads into one bucket; raises only `StoreError`."""

    def __init__(self, store: StoreClient) -> None:
        self._store = store

    def create(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        locked_until: datetime | None,
    ) -> tuple[str, str]:
        """Create an object without overwriting one; return its ETag and version.

        Only CompleteMultipartUpload creates the object: if an earlier request fails,
        nothing was stored.
        """
        lock: dict[str, Any] = {}
        if locked_until is not None:
            lock["ObjectLockMode"] = OBJECT_LOCK_MODE
            lock["ObjectLockRetainUntilDate"] = locked_until
        with _nothing_stored_on_error():
            begun = self._store.call(
                "create_multipart_upload",
                Key=key,
                ContentType=payload.content_type,
                Metadata=dict(metadata),
                ChecksumAlgorithm="SHA256",
                **lock,
            )
            with store_errors():
                upload_id = begun["UploadId"]
        try:
            with _nothing_stored_on_error():
                parts = self._send_parts(key, upload_id, payload)
            answer = self._store.call(
                "complete_multipart_upload",
                retry=False,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
            )
            with store_errors():
                return etag_and_version(answer["ETag"], answer.get("VersionId"))
        except BaseException:
            try:
                self.abort(key, upload_id)
            except StoreError as error:  # reconciliation will discard the parts
                logger.warning("key=%s multipart upload not aborted: %s", key, error)
            raise

    def _send_parts(
        self, key: str, upload_id: str, payload: Payload
    ) -> list[CompletedPartTypeDef]:
        """Send the parts, `PARTS_IN_FLIGHT` at a time; return them in order."""
        sent: list[CompletedPartTypeDef] = []
        in_flight: deque[Future[CompletedPartTypeDef]] = deque()
        pool = ThreadPoolExecutor(PARTS_IN_FLIGHT, thread_name_prefix="store-part")
        try:
            for number, part in enumerate(payload.parts(), start=1):
                in_flight.append(
                    pool.submit(self._send_part, key, upload_id, number, part)
                )
                if len(in_flight) == PARTS_IN_FLIGHT:
                    sent.append(in_flight.popleft().result())
            sent.extend(request.result() for request in in_flight)
        finally:
            # Wait for parts in flight: one that arrives after the abort would stay in
            # the store.
            pool.shutdown(cancel_futures=True)
        return sent

    def _send_part(
        self, key: str, upload_id: str, number: int, part: Part
    ) -> CompletedPartTypeDef:
        query = f"partNumber={number}&uploadId={quote(upload_id, safe='-_.~')}"
        etag, _ = self._store.with_retries(
            lambda: self._store.put(
                "UploadPart", key, part.chunks, part.sha256, headers={}, query=query
            )
        )
        return {
            "ETag": f'"{etag}"',
            "PartNumber": number,
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(part.sha256)).decode(),
        }

    def abort(self, key: str, upload_id: str) -> None:
        """Discard the parts, if there are any."""
        with suppress(ObjectMissingError):
            self._store.call("abort_multipart_upload", Key=key, UploadId=upload_id)


@contextmanager
def _nothing_stored_on_error() -> Iterator[None]:
    """Mark the outcome of errors raised in the block as known: nothing was stored."""
    try:
        yield
    except StoreUnavailableError as error:
        error.outcome_unknown = False
        raise
