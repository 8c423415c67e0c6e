"""The result of the last verification of the audit log.

It is read from the event that each verification records (`audit_checked`, with the
number of `faults` in its detail).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from uploads.models import Action, UploadEvent


@dataclass(frozen=True, slots=True)
class Verification:
    at: datetime
    is_clean: bool


def last_verification() -> Verification | None:
    """Return the last verification's result, or None if there was none."""
    checks = UploadEvent.objects.filter(action=Action.AUDIT_CHECKED)
    newest = checks.order_by("-at", "-id").first()
    if newest is None:
        return None
    return Verification(newest.at, is_clean=newest.detail.get("faults") == 0)
