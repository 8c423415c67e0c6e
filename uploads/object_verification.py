"""Compares objects with their records, and records the results."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Literal, NamedTuple

from django.db.models import Exists, OuterRef, QuerySet

from mirrorsite.actors import Actor
from uploads import transitions
from uploads.bulkhead import store_bulkhead
from uploads.exceptions import ObjectMissingError, TransitionError
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.paging import pages
from uploads.storage import StoredObject, storage_of, upload_storage

Method = Literal["head", "read"]

#: Uploads read from the database at a time.
PAGE = 500
#: The actions that a verification records.
_RESULTS = (Action.VERIFIED, Action.MISSING, Action.CORRUPTED)
#: The statuses of uploads whose objects should exist.
VERIFIABLE = (Status.STORED, Status.MISSING, Status.CORRUPTED)


class Verification(NamedTuple):
    """The action to record, how the object differs, and its SHA-256 unless it is missing.

    `sha256_from` is the source of the SHA-256: `store` (its own checksum), `etag` (the
    ETag is still the one returned when the object was stored), or `bytes`.
    """

    action: Action
    differences: tuple[str, ...]
    sha256: str = ""
    sha256_from: str = ""


def verify_upload(
    upload: Upload, *, actor: Actor, method: Method = "head"
) -> Verification:
    """Compare the object with its record, and record `verified`, `missing` or `corrupted`.

    `head` compares size, checksum and ETag, and reads the bytes only if the store has no
    checksum and the ETag differs. `read` always reads and hashes the bytes.

    Raises `TransitionError` for an upload that is pending, failed or purged, or was
    changed by another request, `StoreError` when the store refuses or is unavailable,
    and `StoreBusyError` when too many requests use it: in all these cases nothing is
    recorded. Raises `TrailUnavailableError` when the database is unavailable.
    """
    with store_bulkhead().permit(actor.quota_key):
        if upload.status not in VERIFIABLE:
            raise TransitionError(
                f"upload {upload.pk} is {upload.status}; there is nothing to verify."
            )
        outcome = examine(upload, method=method)
        record_verification(upload, outcome, actor=actor, method=method)
    return outcome


def uploads_to_verify(not_verified_since: datetime | None = None) -> QuerySet[Upload]:
    """Return the verifiable uploads of the configured bucket, in the order of ids.

    Omit those verified since `not_verified_since`, to resume an interrupted run.
    """
    bucket = upload_storage().bucket_name
    uploads = Upload.objects.filter(status__in=VERIFIABLE, bucket=bucket)
    if not_verified_since:
        verifications = UploadEvent.objects.filter(
            upload=OuterRef("pk"), action__in=_RESULTS, at__gte=not_verified_since
        )
        uploads = uploads.filter(~Exists(verifications))
    return uploads.order_by("pk")


def count_in_other_buckets() -> int:
    """Return how many verifiable uploads are recorded in other buckets."""
    uploads = Upload.objects.filter(status__in=VERIFIABLE)
    return uploads.exclude(bucket=upload_storage().bucket_name).count()


def verify_each(
    uploads: QuerySet[Upload], *, actor: Actor, method: Method, jobs: int
) -> Iterator[tuple[Upload, Verification | None]]:
    """Verify every upload, `jobs` at a time; record each result, then yield it.

    The result is None, and not recorded, if the upload changed during the comparison.
    Up to `PAGE` uploads are in memory. If the consumer stops or a `StoreError` is
    raised, only the results yielded so far are recorded. Only the calling thread uses
    the database.
    """
    pool = ThreadPoolExecutor(jobs)
    try:
        for page in pages(uploads, PAGE):
            outcomes = pool.map(partial(examine, method=method), page)
            for upload, outcome in zip(page, outcomes, strict=True):
                result: Verification | None = outcome
                try:
                    record_verification(upload, outcome, actor=actor, method=method)
                except TransitionError:
                    result = None
                yield upload, result
    finally:
        pool.shutdown(cancel_futures=True)


def record_verification(
    upload: Upload, outcome: Verification, *, actor: Actor, method: Method
) -> None:
    """Record a result; raises `TransitionError` and `TrailUnavailableError`."""
    detail: dict[str, object] = {"method": method}
    if outcome.sha256_from:
        detail["sha256_from"] = outcome.sha256_from
    if outcome.differences:
        detail["differences"] = list(outcome.differences)
    transitions.record(upload, outcome.action, actor, detail=detail)


def examine(upload: Upload, *, method: Method) -> Verification:
    """Compare the object with its record; records nothing.

    Raises `StoreError`, and `OtherBucketError` for a record of another bucket.
    """
    try:
        return compare(upload, storage_of(upload).head(upload.key), method)
    except ObjectMissingError:
        return Verification(Action.MISSING, ("the object is not in the bucket",))


def compare(
    upload: Upload, found: StoredObject, method: Method = "head"
) -> Verification:
    """Compare an object with its record; `method` is that of `verify_upload`.

    The SHA-256 in the metadata is not used: it can be copied onto other bytes. Raises
    `StoreError`.
    """
    size = found.size
    if method == "head" and found.sha256_source == "store":
        sha256, sha256_from = found.sha256, "store"
    elif method == "head" and upload.etag and found.etag == upload.etag:
        sha256, sha256_from = upload.sha256, "etag"
    else:
        sha256_from = "bytes"
        sha256, size = storage_of(upload).read_digest(
            upload.key, store_bulkhead().report_progress
        )
    differences = []
    if size != upload.size:
        differences.append(f"size is {size}, not {upload.size}")
    if sha256 != upload.sha256:
        differences.append(f"SHA-256 is {sha256}, not {upload.sha256}")
    action = Action.CORRUPTED if differences else Action.VERIFIED
    return Verification(action, tuple(differences), sha256, sha256_from)
