"""The proof of an upload's events: the seals that cover them."""

from __future__ import annotations

from dataclasses import dataclass

from uploads.models import AuditSeal, Upload, UploadEvent

#: Events shown on the page, which has a note when there are more.
MOST_EVENTS = 500


@dataclass(frozen=True, slots=True)
class Proof:
    """The newest events of an upload and the seals that cover them."""

    events: list[UploadEvent]
    seals: list[AuditSeal]
    unsealed: int
    is_cut: bool


def proof_of(upload: Upload) -> Proof:
    """Return the newest `MOST_EVENTS` events, oldest first, and the seals over them."""
    found = list(
        upload.events.select_related("seal").order_by("-id")[: MOST_EVENTS + 1]
    )
    events = found[:MOST_EVENTS][::-1]
    seals = {event.seal.number: event.seal for event in events if event.seal}
    return Proof(
        events=events,
        seals=[seals[number] for number in sorted(seals)],
        unsealed=sum(event.seal is None for event in events),
        is_cut=len(found) > MOST_EVENTS,
    )
