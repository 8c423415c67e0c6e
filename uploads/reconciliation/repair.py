"""The repair of a finding: an event that says what was found, or a purge done again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.utils import timezone

from uploads import orphans
from uploads.audit import log
from uploads.exceptions import (
    ObjectChangedError,
    ObjectMissingError,
    StoreRefusedError,
    TransitionError,
)
from uploads.models import Action, Upload
from uploads.reconciliation.findings import Finding, Plan, Word
from uploads.storage import storage_of


def settle(plan: Plan, finding: Finding) -> Finding:
    """Repair one finding; leave it when another writer was faster."""
    if finding.word == Word.ELSEWHERE:
        return replace(finding, outcome="skipped")
    detail = {"finding": finding.word.value, **finding.seen}
    try:
        if finding.upload_id is None:
            adopted = orphans.adopt(finding.key, actor=plan.actor)
            return replace(finding, upload_id=adopted.pk, outcome="repaired")
        upload = Upload.objects.get(pk=finding.upload_id)
        if finding.word == Word.PURGED_PRESENT:
            return _purged_again(plan, finding, upload, detail)
        log.record(
            upload,
            finding.action or Action.FAILED,
            plan.actor,
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
        log.record(
            upload,
            Action.VERIFIED,
            plan.actor,
            detail=detail | {"purge_refused": str(error)},
        )
        return replace(finding, action=Action.VERIFIED, outcome="repaired")
    log.record(upload, Action.PURGED, plan.actor, detail=detail)
    return replace(finding, outcome="repaired")
