"""Idempotency-Key: however often a request is sent, it makes one upload.

After draft-ietf-httpapi-idempotency-key-header-07. A key belongs to one caller, and
is kept as long as the record is: for good.

What makes it one upload, from the outside in:

- the row: caller and key are unique together, so that of two requests at the same
  moment one writes the intent and the other finds it;
- the id: derived from caller and key, and the payload from the id, so that each try
  sends the same bytes to the same object key, where `If-None-Match: *` lets the
  first of them through and shows the others that it did. This holds even where the
  row is lost or another database is asked, within the day whose date is in the
  object key;
- the lease: a pending upload whose last try began a while ago has lost its worker
  and is tried again. Were that judged wrongly, both would still send the same bytes
  to the same key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import Error
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from uploads import services, trail
from uploads.exceptions import (
    AlreadyRecordedError,
    KeyReusedError,
    StillRunningError,
    TrailUnavailableError,
    TransitionError,
    UploadFailedError,
)
from uploads.models import Status, Upload
from uploads.storage import PART_BYTES
from uploads.trail import Caller

#: Longest key, in characters.
MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key, and whose it is: `scope` tells one caller from all others."""

    scope: str
    key: str

    @property
    def upload_id(self) -> UUID:
        """The id of the upload under this key: a UUIDv8 (RFC 9562, section 5.8).

        Keyed with SECRET_KEY, so that ids, which are public, neither tell the
        caller's address nor can be worked out by another caller beforehand. With
        another SECRET_KEY the row is still found by its columns.
        """
        text = json.dumps([self.scope, self.key])
        digest = salted_hmac("uploads.idempotency", text, algorithm="sha256").digest()
        number = int.from_bytes(digest[:16], "big")
        number = number & ~(0xF << 76) | 8 << 76  # version
        number = number & ~(0x3 << 62) | 2 << 62  # variant
        return UUID(int=number)


def upload_once(
    *, caller: Caller, key: IdempotencyKey, size: int | None = None
) -> tuple[Upload, bool]:
    """Make the upload of this key unless it is made; tell whether it was before.

    A try that failed, or whose worker is gone, is taken up again under the same id
    and object key. Raises `KeyReusedError` when the key came with another body,
    `StillRunningError` while another request works on it, and what `upload_random`
    raises.
    """
    fingerprint = fingerprint_of(size)
    # Twice is enough unless others win each race; then they are running.
    for _ in range(3):
        upload = _find(Q(pk=key.upload_id))
        if upload is None:
            try:
                return _begin(key, fingerprint, caller=caller, size=size), False
            except AlreadyRecordedError:
                upload = _find_recorded(key)
        if upload is None:
            continue
        _require_same_request(upload, fingerprint, size)
        if _is_finished(upload):
            return upload, True
        _require_abandoned(upload)
        try:
            trail.begin_again(upload, caller, bucket=_bucket_for_retry(upload))
        except TransitionError:
            continue
        payload = services.payload_of(upload.pk, size)
        services.put_payload(upload, payload, caller)
        return upload, False
    raise StillRunningError("another request works on this key", seconds=1)


def fingerprint_of(size: int | None) -> str:
    """Return what two requests with the same meaning have in common."""
    body = {} if size is None else {"size": size}
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()


def attempt_lasts_at_most(size: int) -> timedelta:
    """Return how long one try for a body of `size` bytes can take.

    From the store's timeouts: each request may be tried so often, a body in parts
    takes a request for each and three around them, all of it may be done again, and
    at the end one question may ask what became of it. Added are the making of the
    bytes, at no less than 10 MiB a second, and ten seconds for the database.
    """
    storage = services.upload_storage()
    tries = storage.max_attempts
    pauses = 0.1 * 2**tries
    request = tries * (storage.connect_timeout + storage.read_timeout) + pauses
    parts = 0 if size <= PART_BYTES else -(-size // PART_BYTES) + 3
    whole = request * (1 + tries * parts) + request
    making = tries * size / (10 * 1024 * 1024)
    return timedelta(seconds=whole + making + 10)


def _find_recorded(key: IdempotencyKey) -> Upload | None:
    """Return the upload that stood in the way of one with this key.

    By its id it is a request of the same moment, or an object adopted from the
    bucket; by its columns alone one from before SECRET_KEY was changed.
    """
    return _find(Q(pk=key.upload_id)) or _find(
        Q(idempotency_scope=key.scope, idempotency_key=key.key)
    )


def _find(condition: Q) -> Upload | None:
    try:
        return Upload.objects.filter(condition).first()
    except Error as error:
        raise TrailUnavailableError("the database did not answer") from error


def _begin(
    key: IdempotencyKey, fingerprint: str, *, caller: Caller, size: int | None
) -> Upload:
    return services.start_upload(
        key.upload_id,
        caller=caller,
        size=size,
        idempotency_scope=key.scope,
        idempotency_key=key.key,
        idempotency_fingerprint=fingerprint,
    )


def _require_same_request(upload: Upload, fingerprint: str, size: int | None) -> None:
    if upload.idempotency_key:
        same = upload.idempotency_fingerprint == fingerprint
    else:  # adopted: its bytes tell which request they came from
        same = upload.sha256 == services.payload_of(upload.pk, size).sha256
    if not same:
        raise KeyReusedError("the key came with another body before", upload=upload)


def _is_finished(upload: Upload) -> bool:
    """Tell whether the upload was stored once, whatever became of it since."""
    if upload.status in {Status.PENDING, Status.FAILED}:
        return False
    if upload.stored_at is None and upload.status != Status.STORED:
        # The bucket holds something else under the key: no try can succeed.
        raise UploadFailedError("another object has this key", upload=upload)
    return True


def _bucket_for_retry(upload: Upload) -> str:
    """Return the bucket to try again in; after a change of buckets, the new one.

    Not where the first bucket may hold the object: it would lose its record there.
    """
    bucket = services.upload_storage().bucket_name
    if upload.bucket != bucket and upload.status != Status.FAILED:
        raise UploadFailedError(
            f"what became of it in bucket {upload.bucket} is not known", upload=upload
        )
    return bucket


def _require_abandoned(upload: Upload) -> None:
    """Raise `StillRunningError` unless no request works on this upload any more."""
    started: datetime | None = upload.attempt_started_at
    if upload.status == Status.FAILED or started is None:
        return
    left = started + attempt_lasts_at_most(upload.size) - timezone.now()
    if left > timedelta(0):
        raise StillRunningError(
            "a request with this key is being worked on", seconds=left.total_seconds()
        )
