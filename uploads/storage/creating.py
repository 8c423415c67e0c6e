"""Creating objects once, and telling truly what became of the request."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from uploads.exceptions import (
    ObjectExistsError,
    ObjectMissingError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)
from uploads.storage.answers import translated
from uploads.storage.asking import AskingStorage
from uploads.storage.objects import (
    Payload,
    StoredObject,
    UnfinishedUpload,
    stored_object_from_put,
)
from uploads.storage.quick_put import NotHandledError, QuickPut

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

logger = logging.getLogger(__name__)

#: Above this a body is sent in parts of this size.
PART_BYTES = 8 * 1024 * 1024
#: S3's own limit: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MAX_PARTS = 10_000


class CreatingStorage(AskingStorage):
    """What puts objects into the bucket."""

    def put_new(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any] | None = None,
        *,
        on_retry: Callable[[int, StoreError], None] | None = None,
    ) -> StoredObject:
        """Create the object `key`; the body's digest goes into its metadata as well.

        `parameters` are further ones that PutObject and CreateMultipartUpload both
        take, such as those of Object Lock. `on_retry` is called before each further
        attempt, with the number of the attempt that failed and its error.

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
            except StoreRefusedError as error:
                if not outcome_unknown:
                    raise
                # This attempt was refused; what became of an earlier one is open.
                return self._settle_lost_answer(key, payload, metadata, str(error))
            except StoreUnavailableError as error:
                outcome_unknown = outcome_unknown or error.outcome_unknown
                logger.warning(
                    "key=%s attempt=%s of %s: %s",
                    key,
                    attempt,
                    self.max_attempts,
                    error,
                )
                last_error = error
            if attempt < self.max_attempts:
                self._pause(attempt)
                if on_retry is not None:
                    on_retry(attempt, last_error)
        if outcome_unknown:
            return self._settle_lost_answer(key, payload, metadata, str(last_error))
        raise StoreUnavailableError(str(last_error), outcome_unknown=False)

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
        body = b"".join(payload.parts(PART_BYTES))
        checksum = base64.b64encode(bytes.fromhex(payload.sha256)).decode()
        if not parameters and QuickPut.suits(self.bucket_name, len(body), metadata):
            stored = self._put_quickly(key, body, payload, metadata)
            if stored is not None:
                return stored
        return stored_object_from_put(
            payload,
            metadata,
            translated(
                lambda: self.client.put_object(
                    Bucket=self.bucket_name,
                    Key=key,
                    Body=body,
                    ContentType=payload.content_type,
                    ChecksumSHA256=checksum,
                    IfNoneMatch="*",
                    Metadata=dict(metadata),
                    **parameters,
                )
            ),
        )

    def _put_quickly(
        self, key: str, body: bytes, payload: Payload, metadata: Mapping[str, str]
    ) -> StoredObject | None:
        """Put without the client; None where only the client can, and nothing was done."""
        quick_put = self.quick_put()
        if quick_put is None:
            return None
        # It works out the checksum itself: bytes that are not the recorded ones would
        # be taken as they are.
        if hashlib.sha256(body).hexdigest() != payload.sha256:
            raise StoreRefusedError("not sent: the body is not what its SHA-256 says")
        try:
            found = quick_put.put(key, body, payload.content_type, metadata)
        except NotHandledError as error:
            logger.info("key=%s goes the client's way: %s", key, error)
            return None
        return stored_object_from_put(
            payload, metadata, {"ETag": found.etag, "VersionId": found.version_id}
        )

    def _put_parts(
        self,
        key: str,
        payload: Payload,
        metadata: Mapping[str, str],
        parameters: Mapping[str, Any],
    ) -> StoredObject:
        """Send the body in parts, one at a time, so that one part is in memory."""
        try:
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
        except StoreUnavailableError as error:
            # Begun or not: without its end it is no object.
            raise StoreUnavailableError(str(error), outcome_unknown=False) from error
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
        return stored_object_from_put(payload, metadata, answer)

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
        """Throw the parts away; reconciliation does it later if this fails."""
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
            is_the_same = self._is_the_same(key, found, payload, metadata)
        except ObjectMissingError as error:
            raise StoreUnavailableError(
                "the key was taken, and then it was not", outcome_unknown=True
            ) from error
        except StoreError as error:
            # Something has the key, and it may be ours: not to be allowed to look
            # is no proof that it is another's.
            raise StoreUnavailableError(str(error), outcome_unknown=True) from error
        if is_the_same:
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
            is_the_same = self._is_the_same(key, found, payload, metadata)
        except StoreError as error:
            # Its absence proves nothing yet: the request may still be under way.
            raise StoreUnavailableError(message, outcome_unknown=True) from error
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
        """Compare by what the store says of the bytes, or by them; raises as `read`."""
        # Not the request id: a retry under the same upload comes with another one.
        if found.size != payload.size or (
            found.metadata.get("upload-id") != metadata.get("upload-id")
        ):
            return False
        if found.sha256_source == "store":
            return found.sha256 == payload.sha256
        # Who can put an object under this key can write the right SHA-256 beside it.
        hasher = hashlib.sha256()
        for chunk in self.read(key):
            hasher.update(chunk)
        return hasher.hexdigest() == payload.sha256

    # --- What was begun and never finished -------------------------------------------

    def unfinished(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Yield the uploads in parts under `prefix` that have no end yet.

        Those under way, and those whose end a failure has kept away. They are no
        objects, but what was sent of them takes room. Raises `StoreError`.
        """
        more: dict[str, Any] = {}
        while True:
            page = self._retried(
                partial(
                    self.client.list_multipart_uploads,
                    Bucket=self.bucket_name,
                    Prefix=prefix,
                    **more,
                )
            )
            for entry in page.get("Uploads", ()):
                if entry["Key"].startswith(prefix):
                    yield UnfinishedUpload(
                        key=entry["Key"],
                        upload_id=entry["UploadId"],
                        begun=entry["Initiated"],
                    )
            if not page.get("IsTruncated"):
                return
            more = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def abort_unfinished(self, unfinished: UnfinishedUpload) -> None:
        """Throw the parts away; fine when they are gone. Raises `StoreError`."""
        with suppress(ObjectMissingError):
            self._retried(
                lambda: self.client.abort_multipart_upload(
                    Bucket=self.bucket_name,
                    Key=unfinished.key,
                    UploadId=unfinished.upload_id,
                )
            )
