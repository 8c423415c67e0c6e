"""Bucket and record side by side: where they disagree, and how to settle it.

Both are walked in key order, a page of each in memory at a time. The order makes the
walk cheap and proves nothing: whatever does not pair off is looked up by its own key,
the object with HEAD and the row with a query, before anything is said about it. So a
store that lists in another order (see `UploadStorage.listing`), a page read a moment
too early or an upload finishing meanwhile costs a question, never a wrong finding.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal, NamedTuple
from uuid import UUID

from django.db import models
from django.utils import timezone

from uploads import adoption, trail
from uploads.exceptions import (
    ObjectChangedError,
    ObjectMissingError,
    OtherBucketError,
    StoreRefusedError,
    TransitionError,
)
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.services import PREFIX, storage_of, upload_storage
from uploads.storage import ListedObject, StoredObject
from uploads.trail import Caller
from uploads.verification import differences_from, examine

logger = logging.getLogger(__name__)

#: Rows read at a time; S3 lists as many keys.
PAGE = 1000
#: How many of the last purges are looked at where only recent days are: a purge that is
#: interrupted leaves its last object. Each costs the store a question.
LAST_PURGES = 10


class Word(models.TextChoices):
    """What can be wrong between the record and the bucket."""

    PENDING_PRESENT = "pending and present"
    PENDING_ABSENT = "pending and absent"
    STORED_MISSING = "stored but missing"
    DIFFERS = "size or checksum differs"
    NO_RECORD = "object without record"
    PURGED_PRESENT = "purged but present"
    # A PUT whose answer was lost can arrive after it was given up, and an object can
    # come back (a version restored): the record then says less than what happened.
    FAILED_PRESENT = "failed but present"
    MISSING_PRESENT = "missing but present"
    # The record names another bucket than the configured one: either that is set
    # wrongly, or the bucket was changed. What lies here proves nothing of it.
    ELSEWHERE = "recorded in another bucket"
    # No object, and so nothing that a record could tell of; but parts that take room.
    UNFINISHED = "begun in parts and left"


Outcome = Literal["found", "repaired", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One disagreement. `action` is the event that settles it, when one does."""

    word: Word
    key: str
    upload_id: UUID | None
    action: Action | None
    seen: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = "found"
    note: str = ""


class Row(NamedTuple):
    """What the walk needs of an upload."""

    key: str
    id: UUID
    status: str
    size: int
    etag: str
    bucket: str


Pair = tuple[ListedObject | None, Row | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to reconcile.

    `fix` writes repairs; without it nothing changes. What happened less than
    `min_age` ago is left alone: it may be under way. `checksums` asks the store for
    the checksum of every object, `jobs` at a time, instead of believing size and
    ETag.
    """

    caller: Caller
    fix: bool = False
    min_age: timedelta = timedelta(minutes=15)
    checksums: bool = False
    jobs: int = 8


def reconcile(plan: Plan, pairs: Iterable[Pair] | None = None) -> Iterator[Finding]:
    """Yield the disagreements under `uploads/`, repaired where the plan says so.

    Raises `StoreError`, `TrailUnavailableError` or `django.db.Error` when a side
    cannot be read; what was yielded until then stands.
    """
    for listed, row in _suspicious(plan, side_by_side() if pairs is None else pairs):
        finding = _judge(plan, listed, row)
        if finding is not None:
            yield _settled(plan, finding) if plan.fix else finding
    yield from _left_in_parts(plan)


# --- Walking -----------------------------------------------------------------------


def side_by_side(since: datetime | None = None) -> Iterator[Pair]:
    """Yield each key of bucket and table once, with what either says of it.

    With `since`, the keys of that day and later, and of the older uploads those that
    are pending or were purged last: what a crash or an outage of these days can have
    left behind. Keys begin with the day, so either side is asked for no more than that.
    """
    if since is None:
        objects, rows = upload_storage().listing(PREFIX), recorded()
    else:
        first = f"{PREFIX}{since.astimezone(UTC):%Y/%m/%d}/"
        before = Upload.objects.filter(key__lt=first)
        pending = before.filter(status=Status.PENDING)
        yield from map(_with_its_object, recorded(pending))
        purges = UploadEvent.objects.filter(action=Action.PURGED).order_by("-at", "-id")
        last = list(purges.values_list("upload", flat=True)[:LAST_PURGES])
        purged = before.filter(status=Status.PURGED, pk__in=last)
        yield from map(_with_its_object, recorded(purged))
        objects, rows = _listed_since(since), recorded(after=first)
    listed = next(objects, None)
    row = next(rows, None)
    while listed is not None or row is not None:
        # Code points compare as UTF-8 bytes do.
        if row is None or (listed is not None and listed.key < row.key):
            yield listed, None
            listed = next(objects, None)
        elif listed is None or row.key < listed.key:
            yield None, row
            row = next(rows, None)
        else:
            yield listed, row
            listed, row = next(objects, None), next(rows, None)


def _with_its_object(row: Row) -> Pair:
    """Pair a row off with what is listed under its own key, of whatever day that is."""
    listed = upload_storage().listing(row.key)
    return next((found for found in listed if found.key == row.key), None), row


def _listed_since(since: datetime) -> Iterator[ListedObject]:
    """Yield the objects day by day; of tomorrow too, for a clock that is ahead."""
    day = since.astimezone(UTC).date()
    while day <= timezone.now().date() + timedelta(days=1):
        yield from upload_storage().listing(f"{PREFIX}{day:%Y/%m/%d}/")
        day += timedelta(days=1)


def recorded(
    uploads: models.QuerySet[Upload] | None = None, *, after: str = ""
) -> Iterator[Row]:
    """Yield the uploads in the order of their keys, without a long-lived cursor."""
    uploads = Upload.objects.all() if uploads is None else uploads
    while True:
        page = list(
            uploads.filter(key__gt=after)
            .order_by("key")
            .values_list("key", "id", "status", "size", "etag", "bucket")[:PAGE]
        )
        yield from map(Row._make, page)
        if len(page) < PAGE:
            return
        after = page[-1][0]


def _suspicious(plan: Plan, pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the pairs that need a closer look."""
    bucket = upload_storage().bucket_name
    if not plan.checksums:
        yield from (pair for pair in pairs if not _agree(*pair, bucket))
        return
    pairs = iter(pairs)
    with ThreadPoolExecutor(plan.jobs) as pool:
        while window := list(islice(pairs, PAGE)):
            digests = pool.map(lambda pair: _digest(pair[0], pair[1], bucket), window)
            stored = dict(
                Upload.objects.filter(
                    key__in=[row.key for _, row in window if row is not None]
                ).values_list("key", "sha256")
            )
            for (listed, row), digest in zip(window, digests, strict=True):
                if not (
                    _agree(listed, row, bucket)
                    and (digest is None or row is None or digest == stored[row.key])
                ):
                    yield listed, row


def _digest(listed: ListedObject | None, row: Row | None, bucket: str) -> str | None:
    """Return the SHA-256 the store tells of an object that should be as recorded.

    None when it tells none: what the metadata says could be copied along.
    """
    if listed is None or row is None:
        return None
    if row.status != Status.STORED or row.bucket != bucket:
        return None
    try:
        found = upload_storage().head(listed.key)
    except ObjectMissingError:
        return ""
    return found.sha256 if found.sha256_source == "store" else None


def _agree(listed: ListedObject | None, row: Row | None, bucket: str) -> bool:
    if row is None or row.bucket != bucket:
        return False
    if listed is None:
        # Not there, and not said to be.
        return row.status in {Status.FAILED, Status.MISSING, Status.PURGED}
    if row.status == Status.CORRUPTED:
        return True  # as recorded: verify_uploads looks whether it is whole again
    return (
        row.status == Status.STORED
        and listed.size == row.size
        and listed.etag == row.etag
    )


# --- Judging -----------------------------------------------------------------------


def _judge(plan: Plan, listed: ListedObject | None, row: Row | None) -> Finding | None:
    """Say what is wrong with one key, or None when nothing is, or not any more."""
    if row is None:
        if listed is None:
            return None
        upload = Upload.objects.filter(key=listed.key).first()
        if upload is None:
            return _judge_unrecorded(plan, listed)
    else:
        upload = Upload.objects.filter(pk=row.id).first()
        if upload is None:
            return None
    if _may_be_under_way(plan, upload):
        return None
    try:
        finding = _judge_recorded(upload, listed)
    except OtherBucketError as error:
        return replace(
            _finding(Word.ELSEWHERE, upload, None, {"bucket": upload.bucket}),
            note=str(error),
        )
    # The bucket was asked after the row was read: what has changed since then is
    # being worked on, and the next run sees it whole.
    if finding is not None and _has_moved_on(upload):
        return None
    return finding


def _judge_unrecorded(plan: Plan, listed: ListedObject) -> Finding | None:
    if timezone.now() - listed.last_modified < plan.min_age:
        return None
    return Finding(
        word=Word.NO_RECORD,
        key=listed.key,
        upload_id=None,
        action=Action.ADOPTED,
        seen={"size": listed.size, "etag": listed.etag},
    )


def _judge_recorded(upload: Upload, listed: ListedObject | None) -> Finding | None:
    try:
        found = storage_of(upload).head(upload.key)
    except ObjectMissingError:
        return _judge_absent(upload)
    if listed is None:
        # It came after the listing passed here, or is listed out of order: its own
        # turn comes, or the next run's.
        return None
    status = Status(upload.status)
    if status in {Status.STORED, Status.MISSING, Status.CORRUPTED}:
        return _judge_bytes(upload, found)
    try:
        differences, known = differences_from(upload, found)
    except ObjectMissingError:
        return None  # gone since: the next run sees that
    differences += _other_owner(upload, found)
    seen = _seen(found) | known
    if status == Status.PURGED:
        # Only what was recorded is ours to delete.
        if differences:
            seen["differences"] = list(differences)
        return _finding(Word.PURGED_PRESENT, upload, Action.PURGED, seen)
    if differences:
        return _finding(
            Word.DIFFERS,
            upload,
            Action.CORRUPTED,
            seen | {"differences": list(differences)},
        )
    word = Word.PENDING_PRESENT if status == Status.PENDING else Word.FAILED_PRESENT
    return _finding(word, upload, Action.STORED, seen)


def _judge_absent(upload: Upload) -> Finding | None:
    if upload.status == Status.PENDING:
        return _finding(Word.PENDING_ABSENT, upload, Action.FAILED, {})
    if upload.status in {Status.STORED, Status.CORRUPTED}:
        return _finding(Word.STORED_MISSING, upload, Action.MISSING, {})
    return None


def _judge_bytes(upload: Upload, found: StoredObject) -> Finding | None:
    outcome = examine(upload, method="head")
    seen = _seen(found) | {"sha256_from": outcome.sha256_from}
    if outcome.action == Action.CORRUPTED:
        if upload.status == Status.CORRUPTED:
            return None
        return _finding(
            Word.DIFFERS,
            upload,
            Action.CORRUPTED,
            seen | {"differences": list(outcome.differences)},
        )
    if outcome.action == Action.VERIFIED and upload.status == Status.MISSING:
        return _finding(Word.MISSING_PRESENT, upload, Action.VERIFIED, seen)
    return None


def _finding(
    word: Word, upload: Upload, action: Action | None, seen: dict[str, Any]
) -> Finding:
    return Finding(
        word=word, key=upload.key, upload_id=upload.pk, action=action, seen=seen
    )


def _other_owner(upload: Upload, found: StoredObject) -> tuple[str, ...]:
    owner = found.metadata.get("upload-id", "")
    if owner == str(upload.pk):
        return ()
    return (f"upload-id in the metadata is {owner or 'missing'}, not {upload.pk}",)


def _seen(found: StoredObject) -> dict[str, Any]:
    """Return what the bucket says, for the event: enough to check the judgement by."""
    modified = found.last_modified
    return {
        "size": found.size,
        "sha256": found.sha256,
        "sha256_from": found.sha256_source,
        "etag": found.etag,
        "version_id": found.version_id,
        "last_modified": modified.isoformat() if modified else None,
    }


def _may_be_under_way(plan: Plan, upload: Upload) -> bool:
    """Tell whether somebody may be working on this upload now.

    By its last event and not by its age: a failed upload that is tried again is
    pending under its old id.
    """
    if upload.status not in {Status.PENDING, Status.FAILED, Status.PURGED}:
        return False
    last = upload.events.order_by("-id").values_list("at", flat=True).first()
    return last is not None and timezone.now() - last < plan.min_age


def _has_moved_on(upload: Upload) -> bool:
    return not Upload.objects.filter(pk=upload.pk, status=upload.status).exists()


def _left_in_parts(plan: Plan) -> Iterator[Finding]:
    """Yield what was begun in parts, and throw those parts away where the plan says so.

    The upload's own record is judged with its key: that no object came of it.
    """
    storage = upload_storage()
    left = storage.unfinished(PREFIX)
    while True:
        try:
            unfinished = next(left, None)
        except StoreRefusedError as error:
            # A right of its own in IAM, which a bucket's owner may not have given.
            logger.warning("uploads in parts cannot be listed: %s", error)
            return
        if unfinished is None:
            return
        if timezone.now() - unfinished.begun < plan.min_age:
            continue
        finding = Finding(
            word=Word.UNFINISHED,
            key=unfinished.key,
            upload_id=None,
            action=None,
            seen={
                "upload_in_parts": unfinished.upload_id,
                "begun": unfinished.begun.isoformat(),
            },
        )
        if plan.fix:
            storage.abort_unfinished(unfinished)
            finding = replace(finding, outcome="repaired")
        yield finding


# --- Settling ----------------------------------------------------------------------


def _settled(plan: Plan, finding: Finding) -> Finding:
    """Repair one finding; leave it when another writer was faster."""
    if finding.word == Word.ELSEWHERE:
        return replace(finding, outcome="skipped")
    detail = {"finding": finding.word.value, **finding.seen}
    try:
        if finding.upload_id is None:
            adopted = adoption.adopt(finding.key, caller=plan.caller)
            return replace(finding, upload_id=adopted.pk, outcome="repaired")
        upload = Upload.objects.get(pk=finding.upload_id)
        if finding.word == Word.PURGED_PRESENT:
            return _purged_again(plan, finding, upload, detail)
        trail.record(
            upload,
            finding.action or Action.FAILED,
            plan.caller,
            detail=detail,
            **_columns(finding),
        )
    except TransitionError as error:
        return replace(finding, outcome="skipped", note=str(error))
    except ObjectMissingError:
        return replace(finding, outcome="skipped", note="the object is gone again")
    return replace(finding, outcome="repaired")


def _columns(finding: Finding) -> dict[str, Any]:
    """Return what the upload's row learns by the repair."""
    if finding.action == Action.STORED:
        modified = finding.seen["last_modified"]
        return {
            "etag": finding.seen["etag"],
            "version_id": finding.seen["version_id"],
            "stored_at": modified or timezone.now(),
            "error": "",
        }
    if finding.action == Action.FAILED:
        return {"error": "reconciliation found no object"}
    return {}


def _purged_again(
    plan: Plan, finding: Finding, upload: Upload, detail: dict[str, Any]
) -> Finding:
    """Delete what should be gone, if it is what was recorded; then say so.

    The record says purged already, so a crash between the two leaves it true.
    """
    if "differences" in finding.seen:
        return replace(
            finding,
            outcome="skipped",
            note="another object has the key; delete or keep it by hand",
        )
    try:
        storage_of(upload).delete_unchanged(finding.key, finding.seen["etag"])
    except ObjectChangedError as error:
        return replace(finding, outcome="skipped", note=str(error))
    except StoreRefusedError as error:
        # The object stays, so the record must not go on saying that it is purged.
        trail.record(
            upload,
            Action.VERIFIED,
            plan.caller,
            detail=detail | {"purge_refused": str(error)},
        )
        return replace(finding, action=Action.VERIFIED, outcome="repaired")
    trail.record(upload, Action.PURGED, plan.caller, detail=detail)
    return replace(finding, outcome="repaired")
