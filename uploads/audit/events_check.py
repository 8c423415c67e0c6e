"""The events of a seal: in the database, in the bucket, and as they were sealed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator

from django.db.models import Exists, OuterRef, Q

from uploads.audit.canonical import Seal
from uploads.audit.diff import Differences
from uploads.audit.report import FaultKind, Report
from uploads.audit.seal_store import Copies
from uploads.audit.serialization import CHUNK, readable_lines
from uploads.exceptions import ObjectMissingError
from uploads.models import AuditSeal, UploadEvent


class EventsCheck:
    """Checks one seal's events after another's; without `copies` it asks no bucket."""

    def __init__(self, report: Report, copies: Copies | None) -> None:
        self._report = report
        self._copies = copies
        self._differences = Differences(report)

    def name_differences(self) -> None:
        """Name the events that differ, once all seals were checked."""
        self._differences.name_all()

    def is_unfinished(self, seal: Seal) -> bool:
        """Tell whether exactly the events of this seal are there and unsealed."""
        if self._copies is None:
            return False
        try:
            if _digest(self._copies.events(seal)) != seal.root:
                return False
            ids = [event_id for event_id, _ in _parsed(self._copies.events(seal))]
        except ObjectMissingError:
            return False
        hasher = hashlib.sha256()
        for start in range(0, len(ids), CHUNK):
            events = UploadEvent.objects.filter(
                pk__in=ids[start : start + CHUNK], seal=None
            )
            for _, line in readable_lines(events):
                hasher.update(line)
        return hasher.hexdigest() == seal.root

    def check(self, seal: Seal) -> None:
        """Compare the events under a seal with its root, and their copy with it."""
        hasher = hashlib.sha256()
        count = 0
        for _, line in readable_lines(UploadEvent.objects.filter(seal_id=seal.number)):
            hasher.update(line)
            count += 1
        self._report.events += count
        is_intact = hasher.hexdigest() == seal.root
        lines = self._copied_lines(seal)
        if is_intact:
            return
        if lines is None:
            self._name_without_copy(seal, count)
            return
        self._differences.compare(
            seal.number,
            lines,
            readable_lines(UploadEvent.objects.filter(seal_id=seal.number)),
        )

    def check_strays(self, first: int, *, but: Collection[int]) -> None:
        """Collect events that say they are sealed, by a seal which there is not.

        From seal `first` on; `but` are seals without a row that were checked. A foreign
        key forbids some of them, but not to who can drop it, nor a number below 1.
        """
        rows = AuditSeal.objects.filter(number=OuterRef("seal_id"))
        strays = UploadEvent.objects.filter(
            Q(seal_id__lt=1) | (Q(seal_id__gte=first) & ~Exists(rows))
        ).exclude(seal_id__in=but)
        self._differences.compare(None, iter(()), readable_lines(strays))

    def _copied_lines(self, seal: Seal) -> Iterator[tuple[int, bytes]] | None:
        """Return the sealed lines from the bucket, or None; name a copy that is not."""
        if self._copies is None:
            return None
        subject = f"events of seal {seal.number}"
        try:
            if _digest(self._copies.events(seal)) == seal.root:
                return _parsed(self._copies.events(seal))
            self._report.add(
                FaultKind.COPY_DIFFERS, subject, "the object is not what was sealed"
            )
        except ObjectMissingError:
            self._report.add(
                FaultKind.COPY_MISSING, subject, f"no {self._copies.events_key(seal)}"
            )
        try:
            if _digest(self._copies.first_events(seal)) == seal.root:
                return _parsed(self._copies.first_events(seal))
        except ObjectMissingError:
            pass
        return None

    def _name_without_copy(self, seal: Seal, count: int) -> None:
        kind = FaultKind.CHANGED
        if count != seal.event_count:
            kind = FaultKind.MISSING if count < seal.event_count else FaultKind.INVENTED
        self._report.add(
            kind,
            f"events of seal {seal.number}",
            f"{seal.event_count} were sealed, {count} are there,"
            " and not the same; no copy tells which",
        )


def _digest(chunks: Iterator[bytes]) -> str:
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()


def _parsed(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield ids and lines of a copy whose digest is known to be right."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)["id"], line + b"\n"
