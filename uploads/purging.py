"""Deleting old objects, so that the record never hides who did it.

The record is written first and the object deleted second: intent before act, as with
uploading. A crash in between leaves `purged but present`, which reconciliation knows
and settles by deleting; nobody takes it for a loss. The other order would leave an
object gone without a word of who deleted it, and reconciliation could only call it
`missing`, as if the bucket had lost it. What the chosen order costs is that for the
moment between the two (or until the next reconciliation, after a crash) the record
runs ahead; when the store refuses to delete, an event takes it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from uploads import trail
from uploads.exceptions import (
    ObjectChangedError,
    ObjectMissingError,
    StoreRefusedError,
    TransitionError,
)
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.services import storage_of, upload_storage
from uploads.trail import Caller
from uploads.verification import differences_from
from uploads.writing import write_transaction

#: Uploads read at a time.
PAGE = 500

Outcome = Literal["would purge", "purged", "left alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """What became of one upload, and why if it was left alone."""

    upload_id: UUID
    key: str
    size: int
    outcome: Outcome
    note: str = ""


def purgeable(*, stored_before: datetime) -> QuerySet[Upload]:
    """Return stored uploads that old whose whole story is sealed, by id.

    In the configured bucket. How old is what the sealed events say, when the object
    was stored or found: `stored_at` is a column that anybody with the database's
    password can change, and no seal would show it. It only finds the rows quickly.
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
    uploads: QuerySet[Upload], *, caller: Caller, reason: str, dry_run: bool
) -> Iterator[Purge]:
    """Delete the objects of `uploads` that are still what was recorded.

    Raises `StoreUnavailableError` when the store is away: the object at hand may be
    recorded as purged and still be there, which `reconcile_uploads --fix` settles.
    """
    after: UUID | None = None
    while True:
        rest = uploads if after is None else uploads.filter(pk__gt=after)
        page = list(rest[:PAGE])
        for upload in page:
            yield _purge_one(
                upload, uploads, caller=caller, reason=reason, dry_run=dry_run
            )
        if len(page) < PAGE:
            return
        after = page[-1].pk


def _purge_one(
    upload: Upload,
    uploads: QuerySet[Upload],
    *,
    caller: Caller,
    reason: str,
    dry_run: bool,
) -> Purge:
    storage = storage_of(upload)
    try:
        found = storage.head(upload.key)
    except ObjectMissingError:
        return _result(upload, "left alone", "the object is missing")
    try:
        differences, known = differences_from(upload, found)
    except ObjectMissingError:
        return _result(upload, "left alone", "the object is missing")
    if found.etag != upload.etag:
        differences += (f"ETag is {found.etag}, recorded is {upload.etag}",)
    if differences:
        return _result(upload, "left alone", "; ".join(differences))
    if dry_run:
        return _result(upload, "would purge")
    detail: dict[str, Any] = {
        "reason": reason,
        "etag": found.etag,
        "size": found.size,
        **known,
    }
    try:
        _record(upload, uploads, caller, detail)
    except TransitionError as error:
        return _result(upload, "left alone", str(error))
    try:
        storage.delete_unchanged(upload.key, found.etag)
    except ObjectChangedError:
        # Gone, or replaced, within this moment: there is nothing of ours to delete.
        # If something is there, reconciliation tells of it.
        return _result(upload, "purged", "it was gone or replaced already")
    except StoreRefusedError as error:
        trail.record(
            upload, Action.VERIFIED, caller, detail={"purge_refused": str(error)}
        )
        return _result(upload, "left alone", str(error))
    return _result(upload, "purged")


def _record(
    upload: Upload, uploads: QuerySet[Upload], caller: Caller, detail: dict[str, Any]
) -> None:
    """Record the purge if the upload is one of `uploads` still.

    Its page was read a while ago, and an event written since is not sealed yet. The
    row's lock makes the answer hold until the purge is recorded: on PostgreSQL every
    event refers to the row and so waits for it, and SQLite has one writer.
    """
    with write_transaction():
        # A statement of its own: what waits for a lock sees other tables as they were
        # before the wait.
        Upload.objects.select_for_update().get(pk=upload.pk)
        if not uploads.filter(pk=upload.pk).exists():
            raise TransitionError("it has changed, or has an event that is not sealed")
        trail.record(upload, Action.PURGED, caller, detail=detail)


def _result(upload: Upload, outcome: Outcome, note: str = "") -> Purge:
    return Purge(
        upload_id=upload.pk,
        key=upload.key,
        size=upload.size,
        outcome=outcome,
        note=note,
    )
