"""What is known of the last `verify_audit`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Verification:
    at: datetime
    is_clean: bool


def last_verification() -> Verification | None:
    """Return how the trail's last verification ended; None when it never ran."""
    return None
