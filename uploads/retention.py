"""Deletes old objects.

The purge is recorded first and the object deleted second. A crash in between leaves an
object that is `purged but present`, which reconciliation deletes. In the other order a
crash would leave a deleted object without an event, which reconciliation would record
as `missing`, as if the bucket had lost it. If the store refuses to delete the object, a
further event reverts the purge.

Requests to the store are sent by several threads; only the calling thread writes to the
database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from mirrorsite.actors import Actor
from uploads import transitions
from uploads.audit.log import write_transaction
from uploads.exceptions import (
    ObjectChangedError,
    ObjectMissingError,
    StoreRefusedError,
    UploadsError,
)
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.object_verification import compare
from uploads.paging import pages
from uploads.storage import storage_of, upload_storage

#: Uploads read at a time.
PAGE = 500
#: The most objects deleted concurrently, and so the most that a crash can leave `purged
#: but present`.
MAX_JOBS = 16

Outcome = Literal["would purge", "purged", "left alone", "purged by another run"]


@dataclass(frozen=True, slots=True)
class Purge:
    """The outcome for one upload; `note` is the reason for an unusual one."""

    upload_id: UUID
    key: str
    size: int
    outcome: Outcome
    note: str = ""


def purgeable(*, stored_before: datetime) -> QuerySet[Upload]:
    """Return stored uploads that are old enough and whose events are all sealed.

    Uploads in other buckets are left out. The age is that of the newest event `stored` or
    `adopted`. `stored_at` only narrows the search: it can be changed without breaking a
    seal.
    """
    events = UploadEvent.objects.filter(upload=OuterRef("pk"))
    arrived = events.filter(action__in=(Action.STORED, Action.ADOPTED))
    return Upload.objects.filter(
        Exists(arrived.filter(at__lt=stored_before)),
        ~Exists(arrived.filter(at__gte=stored_before)),
        ~Exists(events.filter(seal=None)),
        bucket=upload_storage().bucket_name,
        status=Status.STORED,
        stored_at__lt=stored_before,
    ).order_by("pk")


def purge(
    uploads: QuerySet[Upload],
    *,
    actor: Actor,
    reason: str,
    dry_run: bool,
    jobs: int = 1,
) -> Iterator[Purge]:
    """Delete the objects of `uploads` that match their records, `jobs` at a time.

    Raises `TrailUnavailableError`, and `StoreError` when the store is unavailable or
    refuses access to an object. If it refuses only the deletion, nothing is raised: the
    purge is reverted. After an error, up to `jobs` objects may be recorded as purged and
    still exist; `reconcile_uploads --fix` deletes them.
    """
    with ThreadPoolExecutor(jobs) as pool:
        for page in pages(uploads, PAGE):
            for first in range(0, len(page), jobs):
                batch = page[first : first + jobs]
                checked = list(zip(batch, pool.map(_check, batch), strict=True))
                if dry_run:
                    for upload, (_, note) in checked:
                        if note:
                            yield _not_purged(upload, note)
                        else:
                            yield _result(upload, "would purge")
                else:
                    yield from _purge_batch(pool, checked, uploads, actor, reason)


#: The detail for the event, and the reason not to delete the object, or "".
_CheckResult = tuple[dict[str, Any], str]


def _check(upload: Upload) -> _CheckResult:
    """Compare the object with its record, ETag included; raises `StoreError`."""
    try:
        found = storage_of(upload).head(upload.key)
        compared = compare(upload, found)
    except ObjectMissingError:
        return {}, "the object is missing"
    differences = compared.differences
    if found.etag != upload.etag:
        differences += (f"ETag is {found.etag}, not {upload.etag}",)
    detail = {
        "etag": found.etag,
        "size": found.size,
        "sha256": compared.sha256,
        "sha256_from": compared.sha256_from,
    }
    return detail, "; ".join(differences)


def _not_purged(upload: Upload, note: str) -> Purge:
    """Return the outcome for an upload that this run does not purge.

    `note` is the reason. Another run may have purged it since.
    """
    if Upload.objects.filter(pk=upload.pk, status=Status.PURGED).exists():
        return _result(upload, "purged by another run")
    return _result(upload, "left alone", note)


def _purge_batch(
    pool: ThreadPoolExecutor,
    checked: Sequence[tuple[Upload, _CheckResult]],
    uploads: QuerySet[Upload],
    actor: Actor,
    reason: str,
) -> Iterator[Purge]:
    """Record each purge, then delete; yield the results in the same order.

    An upload must still be one of `uploads` when its purge is recorded.

    If a purge fails or the run is interrupted, the objects recorded as purged by then
    are deleted before the error is raised. Otherwise they might stay in the bucket:
    `reconcile_uploads --since` checks only the newest purges.
    """
    # For each upload its outcome, or the deletion that decides it.
    outcomes: list[Purge | tuple[Upload, Future[str]]] = []
    failure: BaseException | None = None
    try:
        for upload, (detail, note) in checked:
            if not note:
                note = _record(upload, uploads, actor, {"reason": reason, **detail})
            if note:
                outcomes.append(_not_purged(upload, note))
            else:
                deletion = pool.submit(_delete, upload, detail["etag"])
                outcomes.append((upload, deletion))
    except BaseException as error:  # noqa: BLE001 Ctrl-C too; it is raised last
        failure = error
    results = []
    for item in outcomes:
        try:
            results.append(item if isinstance(item, Purge) else _deleted(*item, actor))
        except UploadsError as error:
            failure = failure or error
    yield from results
    if failure is not None:
        raise failure


def _deleted(upload: Upload, deletion: Future[str], actor: Actor) -> Purge:
    """Wait for the deletion; revert a purge that the store refuses."""
    try:
        return _result(upload, "purged", deletion.result())
    except StoreRefusedError as refusal:
        # The object still exists: the upload is `stored` again.
        detail = {"purge_refused": str(refusal)}
        transitions.record(upload, Action.VERIFIED, actor, detail=detail)
        return _result(upload, "left alone", str(refusal))


def _delete(upload: Upload, etag: str) -> str:
    """Delete an object if it is unchanged; return a note. Raises `StoreError`."""
    try:
        storage_of(upload).delete_unchanged(upload.key, etag)
    except ObjectChangedError:
        # Deleted or replaced since the comparison: the recorded object no longer exists.
        # If another object has the key now, reconciliation reports it.
        return "it was deleted or replaced already"
    return ""


def _record(
    upload: Upload, uploads: QuerySet[Upload], actor: Actor, detail: dict[str, Any]
) -> str:
    """Record the purge if the upload is still among `uploads`; else return the reason.

    An event may have been written since the page with the upload was read. The row lock
    keeps the check valid until the purge is recorded: every event references the row, so
    inserting one waits for the lock.
    """
    with write_transaction():
        # Lock and check are separate statements: after waiting for a lock, a statement
        # still sees other tables as they were before.
        Upload.objects.select_for_update().get(pk=upload.pk)
        if not uploads.filter(pk=upload.pk).exists():
            return "it has changed, or has an event that is not sealed"
        transitions.record(upload, Action.PURGED, actor, detail=detail)
    return ""


def _result(upload: Upload, outcome: Outcome, note: str = "") -> Purge:
    return Purge(upload.pk, upload.key, upload.size, outcome, note)
