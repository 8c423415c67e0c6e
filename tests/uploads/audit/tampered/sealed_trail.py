"""A trail of five seals, and what is found wrong with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings

from tests.uploads.audit.trails import Trail
from uploads.models import UploadEvent

examples = settings(
    max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SEALS = (2, 0, 3, 1, 0)  # uploads under each seal
LAST = len(SEALS)
#: What an altered event does to the upload it tells of.
OF_UPLOADS = {"status differs", "facts differ"}
LATER = timedelta(minutes=10)
Faults = set[tuple[str, str]]


def event_ids(**which: Any) -> list[int]:
    found = UploadEvent.objects.filter(**which).order_by("id")
    return list(found.values_list("id", flat=True))


def found(trail: Trail, *, beside: set[str] = OF_UPLOADS, **options: Any) -> Faults:
    """Return the faults, without those of other kinds that come with them."""
    return {fault for fault in trail.faults(**options) if fault[0] not in beside}
