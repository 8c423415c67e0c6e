"""What is known of the last check of the trail.

Each check is itself an event (`audit_checked`) whose detail says `faults`, a number, so
that it is sealed with the rest and needs no place of its own.
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
    """Return how the trail's last check ended; None when there was none."""
    checks = UploadEvent.objects.filter(action=Action.AUDIT_CHECKED)
    newest = checks.order_by("-at", "-id").first()
    if newest is None:
        return None
    return Verification(newest.at, is_clean=newest.detail.get("faults") == 0)
