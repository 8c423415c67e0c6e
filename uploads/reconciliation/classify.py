"""What is wrong with one key, asked of the store and the table by that key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.utils import timezone

from uploads.exceptions import ObjectMissingError, OtherBucketError
from uploads.models import Action, Status, Upload
from uploads.reconciliation.findings import Finding, Plan, Word
from uploads.reconciliation.scan import Row
from uploads.storage import ListedObject, StoredObject, storage_of
from uploads.verification import differences_from, examine


def judge(plan: Plan, listed: ListedObject | None, row: Row | None) -> Finding | None:
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
