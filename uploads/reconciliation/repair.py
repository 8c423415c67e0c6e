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
from uploads.storage.errors import is_unreadable_object


def repair(options: Options, finding: Finding) -> Finding:
    """Repair one finding; skip it if the upload or its object has changed."""
    action = finding.action
    if action is None:  # recorded in another bucket: nothing to write
        return replace(finding, outcome="skipped")
    detail = {"finding": finding.kind.value, **finding.evidence}
    try:
        if finding.upload_id is None:
            recorded = orphans.record_orphan(finding.key, actor=options.actor)
            return replace(finding, upload_id=recorded.pk, outcome="repaired")
        upload = Upload.objects.get(pk=finding.upload_id)
        if finding.kind == FindingKind.PURGED_PRESENT:
            refusal = _delete(upload, finding)
            if refusal:
                # The object still exists, so the status must not stay `purged`.
                action = Action.VERIFIED
                detail["purge_refused"] = refusal
        changes = _columns(action, finding.evidence)
        transitions.record(upload, action, options.actor, detail=detail, **changes)
    except (TransitionError, ObjectChangedError) as error:
        return replace(finding, outcome="skipped", note=str(error))
    except ObjectMissingError:
        return replace(finding, outcome="skipped", note="the object is missing by now")
    except StoreRefusedError as error:
        if not is_unreadable_object(error):
            raise
        return replace(finding, outcome="skipped", note=str(error))
    return replace(finding, action=action, outcome="repaired")


def _columns(action: Action, evidence: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the upload that the repair changes."""
    if action == Action.STORED:
        return {
            "etag": evidence["etag"],
            "version_id": evidence["version_id"],
            "stored_at": evidence["last_modified"] or timezone.now(),
            "error": "",
        }
    if action == Action.FAILED:
        return {"error": "reconciliation found no object"}
    return {}


def _delete(upload: Upload, finding: Finding) -> str:
    """Delete the object of a purged upload; return why the store refuses, or "".

    The status is `purged` already: it is correct even if the process dies after the
    deletion, before `repair` records a further event. Raises `ObjectChangedError` if the
    object is not the recorded one.
    """
    if "differences" in finding.evidence:
        raise ObjectChangedError(
            "another object has the key; decide whether to delete it"
        )
    try:
        storage_of(upload).delete_unchanged(finding.key, finding.evidence["etag"])
    except StoreRefusedError as error:
        return str(error)
    return ""
