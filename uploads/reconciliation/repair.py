"""Repairs a finding: records it as an event, or repeats an incomplete purge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.utils import timezone

from uploads import orphans, transitions
from uploads.exceptions import (
    ObjectChangedError,
    ObjectMissingError,
    StoreRefusedError,
    TransitionError,
)
from uploads.models import Action, Upload
from uploads.reconciliation.classify import Finding, FindingKind, Options
from uploads.storage import storage_of


def repair(options: Options, finding: Finding) -> Finding:
    """Repair one finding; skip it if the upload or its object has changed."""
    if finding.action is None:  # recorded in another bucket: nothing to write
        return replace(finding, outcome="skipped")
    detail = {"finding": finding.kind.value, **finding.evidence}
    try:
        if finding.upload_id is None:
            recorded = orphans.record_orphan(finding.key, actor=options.actor)
            return replace(finding, upload_id=recorded.pk, outcome="repaired")
        upload = Upload.objects.get(pk=finding.upload_id)
        if finding.kind == FindingKind.PURGED_PRESENT:
            return _purge_again(options, finding, upload, detail)
        transitions.record(
            upload,
            finding.action,
            options.actor,
            detail=detail,
            **_columns(finding),
        )
    except TransitionError as error:
        return replace(finding, outcome="skipped", note=str(error))
    except ObjectMissingError:
        return replace(finding, outcome="skipped", note="the object is missing by now")
    return replace(finding, outcome="repaired")


def _columns(finding: Finding) -> dict[str, Any]:
    """Return the columns of the upload that the repair changes."""
    if finding.action == Action.STORED:
        modified = finding.evidence["last_modified"]
        return {
            "etag": finding.evidence["etag"],
            "version_id": finding.evidence["version_id"],
            "stored_at": modified or timezone.now(),
            "error": "",
        }
    if finding.action == Action.FAILED:
        return {"error": "reconciliation found no object"}
    return {}


def _purge_again(
    options: Options, finding: Finding, upload: Upload, detail: dict[str, Any]
) -> Finding:
    """Delete an object that is recorded as purged, if it is the recorded one.

    Its status is `purged` already, so it is correct even if the process dies before the
    event is written.
    """
    if "differences" in finding.evidence:
        return replace(
            finding,
            outcome="skipped",
            note="another object has the key; decide whether to delete it",
        )
    try:
        storage_of(upload).delete_unchanged(finding.key, finding.evidence["etag"])
    except ObjectChangedError as error:
        return replace(finding, outcome="skipped", note=str(error))
    except StoreRefusedError as error:
        # The object still exists, so the status must not stay `purged`.
        transitions.record(
            upload,
            Action.VERIFIED,
            options.actor,
            detail=detail | {"purge_refused": str(error)},
        )
        return replace(finding, action=Action.VERIFIED, outcome="repaired")
    transitions.record(upload, Action.PURGED, options.actor, detail=detail)
    return replace(finding, outcome="repaired")
