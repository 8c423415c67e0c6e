"""Classifies one key by its object and its row, each read again."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from uploads.exceptions import ObjectMissingError, OtherBucketError
from uploads.models import Action, Status, Upload
from uploads.object_verification import differences_from
from uploads.reconciliation.findings import Finding, FindingKind, Options
from uploads.reconciliation.scan import Row
from uploads.storage import ListedObject, StoredObject, storage_of


def classify(
    options: Options, listed: ListedObject | None, row: Row | None
) -> Finding | None:
    """Return what is wrong with one key, or None if nothing is (any more)."""
    if row is None:
        if listed is None:
            return None
        upload = Upload.objects.filter(key=listed.key).first()
        if upload is None:
            return _classify_unrecorded(options, listed)
    else:
        upload = Upload.objects.filter(pk=row.id).first()
        if upload is None:
            return None
    if _may_be_in_progress(options, upload):
        return None
    try:
        finding = _classify_recorded(upload, listed)
    except OtherBucketError as error:
        seen = {"bucket": upload.bucket}
        return _finding(FindingKind.ELSEWHERE, upload, None, seen, note=str(error))
    # The bucket was read after the row: an upload that has changed in between is being
    # worked on, and the next run sees it complete.
    if finding is not None and _has_changed(upload):
        return None
    return finding


def _classify_unrecorded(options: Options, listed: ListedObject) -> Finding | None:
    if timezone.now() - listed.last_modified < options.min_age:
        return None
    seen = {"size": listed.size, "etag": listed.etag}
    return Finding(FindingKind.NO_RECORD, listed.key, None, Action.ADOPTED, seen)


def _classify_recorded(upload: Upload, listed: ListedObject | None) -> Finding | None:
    try:
        found = storage_of(upload).head(upload.key)
    except ObjectMissingError:
        return _classify_absent(upload)
    if listed is None:
        # The object exists but was not listed: it was created during the scan, or the
        # store lists in another order. It is classified later in this run, or in the
        # next one.
        return None
    try:
        differences, digest = differences_from(upload, found)
    except ObjectMissingError:
        return None  # deleted since: the next run sees that
    status = Status(upload.status)
    seen = _seen(found) | digest
    if status == Status.MISSING and not differences:
        return _finding(FindingKind.MISSING_PRESENT, upload, Action.VERIFIED, seen)
    if status == Status.CORRUPTED or (status == Status.STORED and not differences):
        return None  # as recorded
    if status in {Status.PENDING, Status.FAILED, Status.PURGED}:
        differences += _other_owner(upload, found)
    if differences:
        seen["differences"] = list(differences)
    if status == Status.PURGED:
        # With differences `repair` leaves the object alone: it may only delete the
        # recorded one.
        return _finding(FindingKind.PURGED_PRESENT, upload, Action.PURGED, seen)
    if differences:
        return _finding(FindingKind.DIFFERS, upload, Action.CORRUPTED, seen)
    kind = (
        FindingKind.PENDING_PRESENT
        if status == Status.PENDING
        else FindingKind.FAILED_PRESENT
    )
    return _finding(kind, upload, Action.STORED, seen)


def _classify_absent(upload: Upload) -> Finding | None:
    if upload.status == Status.PENDING:
        return _finding(FindingKind.PENDING_ABSENT, upload, Action.FAILED, {})
    if upload.status in {Status.STORED, Status.CORRUPTED}:
        return _finding(FindingKind.STORED_MISSING, upload, Action.MISSING, {})
    return None


def _finding(
    kind: FindingKind,
    upload: Upload,
    action: Action | None,
    seen: dict[str, Any],
    note: str = "",
) -> Finding:
    return Finding(kind, upload.key, upload.pk, action, seen, note=note)


def _other_owner(upload: Upload, found: StoredObject) -> tuple[str, ...]:
    owner = found.metadata.get("upload-id", "")
    if owner == str(upload.pk):
        return ()
    return (f"upload-id in the metadata is {owner or 'missing'}, not {upload.pk}",)


def _seen(found: StoredObject) -> dict[str, Any]:
    """Return what the bucket reports, for the event: enough to check the finding by."""
    modified = found.last_modified
    return {
        "size": found.size,
        "sha256": found.sha256,
        "sha256_from": found.sha256_source,
        "etag": found.etag,
        "version_id": found.version_id,
        "last_modified": modified.isoformat() if modified else None,
    }


def _may_be_in_progress(options: Options, upload: Upload) -> bool:
    """Return True if a request or command may be working on this upload.

    Decided by its last event, not by its age: a failed upload that is attempted again
    is pending under its old id.
    """
    if upload.status not in {Status.PENDING, Status.FAILED, Status.PURGED}:
        return False
    last = upload.events.order_by("-id").values_list("at", flat=True).first()
    return last is not None and timezone.now() - last < options.min_age


def _has_changed(upload: Upload) -> bool:
    return not Upload.objects.filter(pk=upload.pk, status=upload.status).exists()
