"""Classifies one key by its object and its row, which are both read again."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from django.db import models
from django.utils import timezone

from mirrorsite.actors import Actor
from uploads.exceptions import ObjectMissingError, OtherBucketError
from uploads.models import Action, Status, Upload
from uploads.object_verification import Verification, compare
from uploads.storage import ListedObject, StoredObject, storage_of


class FindingKind(models.TextChoices):
    """The ways in which the bucket and the records can differ."""

    PENDING_PRESENT = "pending and present"
    PENDING_ABSENT = "pending and absent"
    STORED_MISSING = "stored but missing"
    DIFFERS = "size or checksum differs"
    NO_RECORD = "object without record"
    PURGED_PRESENT = "purged but present"
    # A PUT whose answer was lost can arrive after the upload was recorded as failed, and
    # a deleted object can be restored from a version.
    FAILED_PRESENT = "failed but present"
    MISSING_PRESENT = "missing but present"
    # The record names another bucket than the configured one, so the configured bucket
    # proves nothing about its object.
    ELSEWHERE = "recorded in another bucket"
    # There is no object to record, but the parts take up space.
    UNFINISHED = "unfinished multipart upload"


Outcome = Literal["found", "repaired", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `action` is the event that resolves it, if there is one.

    `evidence` is what was found in the bucket; the event records it.
    """

    kind: FindingKind
    key: str
    upload_id: UUID | None = None
    action: Action | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    outcome: Outcome = "found"
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to reconcile.

    Without `fix` nothing is changed. Uploads and objects younger than `min_age` are
    skipped: they may be in progress.
    """

    actor: Actor
    fix: bool = False
    min_age: timedelta = timedelta(minutes=15)


#: The statuses of an upload whose object may be about to appear or disappear.
_MAY_CHANGE = (Status.PENDING, Status.FAILED, Status.PURGED)
#: The finding when there is no object, by the record's status, and the event for it.
_ABSENT = {
    Status.PENDING: (FindingKind.PENDING_ABSENT, Action.FAILED),
    Status.STORED: (FindingKind.STORED_MISSING, Action.MISSING),
    Status.CORRUPTED: (FindingKind.STORED_MISSING, Action.MISSING),
}
#: The finding and the event when there is an object that matches the record.
_PRESENT = {
    Status.PENDING: (FindingKind.PENDING_PRESENT, Action.STORED),
    Status.FAILED: (FindingKind.FAILED_PRESENT, Action.STORED),
    Status.MISSING: (FindingKind.MISSING_PRESENT, Action.VERIFIED),
    # Also if the object differs: `repair` does not delete it in that case.
    Status.PURGED: (FindingKind.PURGED_PRESENT, Action.PURGED),
}


def classify(options: Options, key: str, listed: ListedObject | None) -> Finding | None:
    """Return what is wrong with one key, or None."""
    upload = Upload.objects.filter(key=key).first()
    if upload is None:
        return _classify_unrecorded(options, listed) if listed else None
    if _may_be_in_progress(options, upload):
        return None
    try:
        finding = _classify_recorded(upload, listed)
    except OtherBucketError as error:
        return Finding(
            FindingKind.ELSEWHERE,
            key,
            upload.pk,
            evidence={"bucket": upload.bucket},
            note=str(error),
        )
    # The bucket was read after the row. An upload that changed in between is in
    # progress, and left to the next run.
    unchanged = Upload.objects.filter(pk=upload.pk, status=upload.status)
    return finding if finding and unchanged.exists() else None


def _classify_unrecorded(options: Options, listed: ListedObject) -> Finding | None:
    if abs(timezone.now() - listed.last_modified) < options.min_age:
        return None
    return Finding(
        FindingKind.NO_RECORD,
        listed.key,
        action=Action.ADOPTED,
        evidence={"size": listed.size, "etag": listed.etag},
    )


def _classify_recorded(upload: Upload, listed: ListedObject | None) -> Finding | None:
    status = Status(upload.status)
    try:
        found = storage_of(upload).head(upload.key)
    except ObjectMissingError:
        kind, action = _ABSENT.get(status, (None, None))
        return Finding(kind, upload.key, upload.pk, action) if kind else None
    if listed is None:
        # The object exists, but the scan did not pair it with the row. Either it was created
        # during the scan, and the next run classifies it; or the store lists keys in another
        # order, and the object comes later in this scan.
        return None
    if status == Status.CORRUPTED:
        return None  # as recorded; verify_uploads checks whether it is intact again
    try:
        compared = compare(upload, found)
    except ObjectMissingError:
        return None  # deleted by now: the next run finds that
    differences = compared.differences
    id_in_metadata = found.metadata.get("upload-id") or "missing"
    if id_in_metadata != str(upload.pk) and _id_must_match(upload):
        differences += (
            f"upload-id in the metadata is {id_in_metadata}, not {upload.pk}",
        )
    if status == Status.STORED and not differences:
        return None  # as recorded
    if differences and status != Status.PURGED:
        kind, action = FindingKind.DIFFERS, Action.CORRUPTED
    else:
        kind, action = _PRESENT[status]
    evidence = _evidence(found, compared)
    if differences:
        evidence["differences"] = list(differences)
    return Finding(kind, upload.key, upload.pk, action, evidence)


def _id_must_match(upload: Upload) -> bool:
    """Return True if the object must have this upload's id in its metadata.

    `repair` records a pending or failed upload as stored, and deletes the object of a
    purged one: for these the object must be the upload's own. For a stored or missing
    upload, equal bytes are enough (verify_uploads has the same rule), because a copy that
    an operator restored may lack the metadata. An adopted object may have another id, or
    none (`uploads.orphans`).
    """
    if upload.status not in (Status.PENDING, Status.FAILED, Status.PURGED):
        return False
    return not upload.events.filter(action=Action.ADOPTED).exists()


def _evidence(found: StoredObject, compared: Verification) -> dict[str, Any]:
    """Return what is known about the object, for the event that the repair records."""
    modified = found.last_modified
    return {
        "size": found.size,
        "sha256": compared.sha256,
        "sha256_from": compared.sha256_from,
        "etag": found.etag,
        "version_id": found.version_id,
        "last_modified": modified.isoformat() if modified else None,
    }


def _may_be_in_progress(options: Options, upload: Upload) -> bool:
    """Return True if a request or command may be working on this upload.

    The time of its last event decides, not its own age: a failed upload that is
    attempted again is pending under its old id. A time in the future is that of a clock
    that was wrong.
    """
    if upload.status not in _MAY_CHANGE:
        return False
    last = upload.events.order_by("-id").values_list("at", flat=True).first()
    return last is not None and abs(timezone.now() - last) < options.min_age
