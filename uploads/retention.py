"""Deleting old objects, so that the record never hides who did it.

The record is written first and the object deleted second: intent before act, as with
uploading. A crash in between leaves `purged but present`, which reconciliation knows
and settles by deleting; nobody takes it for a loss. The other order would leave an
object gone without a word of who deleted it, and reconciliation could only call it
`missing`, as if the bucket had lost it. What the chosen order costs is that for the
moment between the two (or until the next reconciliation, after a crash) the record
runs ahead; when the store refuses to delete, an event takes it back.

The store is asked for several objects at a time, since it is what takes long. Only the
calling thread writes the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from mirrorsite.actors import Actor
from uploads.audit import log
from uploads.audit.log import write_transaction
from uploads.exceptions import (
    ObjectChangedError,
    ObjectMissingError,
    StoreError,
    StoreRefusedError,
    TrailUnavailableError,
    TransitionError,
)
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.storage import storage_of, upload_storage
from uploads.verification import differences_from

#: Uploads read at a time.
PAGE = 500
#: Objects dealt with at a time, at most: so many may be recorded as purged and still be
#: there after a crash.
MOST_JOBS = 16

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
    uploads: QuerySet[Upload],
    *,
    actor: Actor,
    reason: str,
    dry_run: bool,
    jobs: int = 1,
) -> Iterator[Purge]:
    """Delete the objects of `uploads` that are still what was recorded, `jobs` at a time.

    Raises `StoreError` when the store is away, or refuses to be asked, and
    `TrailUnavailableError`. Of the objects at hand some may then be recorded as purged
    and still be there, which `reconcile_uploads --fix` settles.
    """
    with ThreadPoolExecutor(jobs) as pool:
        try:
            after: UUID | None = None
            while True:
                rest = uploads if after is None else uploads.filter(pk__gt=after)
                page = list(rest[:PAGE])
                for first in range(0, len(page), jobs):
                    some = page[first : first + jobs]
                    looks = list(pool.map(_look, some))
                    if dry_run:
                        yield from map(_told, some, looks)
                    else:
                        yield from _purge_some(
                            pool, some, looks, uploads, actor, reason
                        )
                if len(page) < PAGE:
                    return
                after = page[-1].pk
        finally:
            # Otherwise leaving would wait for all that was queued.
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Look:
    """What the store says of an object, and why it is left alone if it is."""

    detail: dict[str, Any]
    etag: str = ""
    note: str = ""


def _look(upload: Upload) -> _Look:
    """Compare the object with its record; raises `StoreError`."""
    try:
        found = storage_of(upload).head(upload.key)
        differences, known = differences_from(upload, found)
    except ObjectMissingError:
        return _Look({}, note="the object is missing")
    if found.etag != upload.etag:
        differences += (f"ETag is {found.etag}, recorded is {upload.etag}",)
    detail = {"etag": found.etag, "size": found.size, **known}
    return _Look(detail, found.etag, "; ".join(differences))


def _told(upload: Upload, look: _Look) -> Purge:
    return _result(upload, "left alone" if look.note else "would purge", look.note)


def _purge_some(
    pool: ThreadPoolExecutor,
    some: Sequence[Upload],
    looks: Sequence[_Look],
    uploads: QuerySet[Upload],
    actor: Actor,
    reason: str,
) -> Iterator[Purge]:
    """Record the purges, then delete; yield what became of each, in their order.

    What is recorded is deleted even when another's turn fails, or somebody interrupts
    it, which is raised last: of the last purges alone `reconcile_uploads --since` asks
    whether they were carried out, and a second run may follow at once.
    """
    results: dict[UUID, Purge] = {}
    recorded: list[tuple[Upload, _Look]] = []
    failure: BaseException | None = None
    for upload, look in zip(some, looks, strict=True):
        if look.note:
            results[upload.pk] = _told(upload, look)
            continue
        try:
            _record(upload, uploads, actor, {"reason": reason, **look.detail})
        except TransitionError as error:
            results[upload.pk] = _result(upload, "left alone", str(error))
        except BaseException as error:  # noqa: BLE001 Ctrl-C too; it is raised last
            failure = error
            break
        else:
            recorded.append((upload, look))
    deleted, another = _delete_some(pool, recorded, actor)
    results |= {one.upload_id: one for one in deleted}
    yield from (results[upload.pk] for upload in some if upload.pk in results)
    if failure := failure or another:
        raise failure


def _delete_some(
    pool: ThreadPoolExecutor, recorded: Sequence[tuple[Upload, _Look]], actor: Actor
) -> tuple[list[Purge], Exception | None]:
    """Delete what is recorded; return what became of it, and what failed first if any."""
    results: list[Purge] = []
    failure: Exception | None = None
    outcomes = pool.map(_delete, recorded)
    for (upload, _), outcome in zip(recorded, outcomes, strict=True):
        if isinstance(outcome, StoreRefusedError):
            detail = {"purge_refused": str(outcome)}
            try:
                log.record(upload, Action.VERIFIED, actor, detail=detail)
            except TrailUnavailableError as error:
                failure = failure or error
            else:
                results.append(_result(upload, "left alone", str(outcome)))
        elif isinstance(outcome, StoreError):
            failure = failure or outcome
        else:
            results.append(_result(upload, "purged", outcome))
    return results, failure


def _delete(recorded: tuple[Upload, _Look]) -> str | StoreError:
    """Delete an object if it is what it was; return a note, or what was in the way."""
    upload, look = recorded
    try:
        storage_of(upload).delete_unchanged(upload.key, look.etag)
    except ObjectChangedError:
        # Gone, or replaced, within this moment: there is nothing of ours to delete.
        # If something is there, reconciliation tells of it.
        return "it was gone or replaced already"
    except StoreError as error:
        return error
    return ""


def _record(
    upload: Upload, uploads: QuerySet[Upload], actor: Actor, detail: dict[str, Any]
) -> None:
    """Record the purge if the upload is one of `uploads` still.

    Its page was read a while ago, and an event written since is not sealed yet. The
    row's lock makes the answer hold until the purge is recorded: every event refers to
    the row, so its insert waits for the lock.
    """
    with write_transaction():
        # A statement of its own: what waits for a lock sees other tables as they were
        # before the wait.
        Upload.objects.select_for_update().get(pk=upload.pk)
        if not uploads.filter(pk=upload.pk).exists():
            raise TransitionError("it has changed, or has an event that is not sealed")
        log.record(upload, Action.PURGED, actor, detail=detail)


def _result(upload: Upload, outcome: Outcome, note: str = "") -> Purge:
    return Purge(
        upload_id=upload.pk,
        key=upload.key,
        size=upload.size,
        outcome=outcome,
        note=note,
    )
