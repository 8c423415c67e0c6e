"""Compares the events of a seal, in the database and in the bucket, with its root."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import suppress

from django.db.models import Exists, OuterRef, Q

from uploads.audit.canonical import Seal
from uploads.audit.diff import Differences
from uploads.audit.models import AuditSeal, UploadEvent
from uploads.audit.report import FaultKind, Report
from uploads.audit.seal_store import SealStore
from uploads.audit.serialization import readable_lines
from uploads.exceptions import ObjectMissingError


class EventsCheck:
    """Checks the events of one seal after another; `store` is None for database only."""

    def __init__(self, report: Report, store: SealStore | None) -> None:
        self._report = report
        self._store = store
        self._differences = Differences(report)

    def report_differences(self) -> None:
        """Report the events that differ, once all seals were checked."""
        self._differences.report_all()

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
            self._report_without_copy(seal, count)
            return
        self._differences.compare(
            seal.number,
            lines,
            readable_lines(UploadEvent.objects.filter(seal_id=seal.number)),
        )

    def check_strays(self, first: int, *, excluding: Collection[int]) -> None:
        """Collect events under seals that do not exist, from seal `first` on.

        `excluding` are seals without a row that were checked. The foreign key prevents
        such events, unless the tables' owner dropped it, but not numbers below 1.
        """
        rows = AuditSeal.objects.filter(number=OuterRef("seal_id"))
        strays = UploadEvent.objects.filter(
            Q(seal_id__lt=1) | (Q(seal_id__gte=first) & ~Exists(rows))
        ).exclude(seal_id__in=excluding)
        self._differences.compare(None, iter(()), readable_lines(strays))

    def _copied_lines(self, seal: Seal) -> Iterator[tuple[int, bytes]] | None:
        """Return the sealed lines from the bucket, or None; report a bad copy."""
        if self._store is None:
            return None
        subject = f"events of seal {seal.number}"
        object_key = self._store.events_object_key(seal)
        try:
            if _digest(self._store.events(seal)) == seal.root:
                return _parsed(self._store.events(seal))
            self._report.add(
                FaultKind.COPY_DIFFERS, subject, "the object is not what was sealed"
            )
        except ObjectMissingError:
            self._report.add(FaultKind.COPY_MISSING, subject, f"no {object_key}")
        first = self._store.storage.first_version(object_key)
        with suppress(ObjectMissingError):
            if first and _digest(self._store.events(seal, first)) == seal.root:
                return _parsed(self._store.events(seal, first))
        return None

    def _report_without_copy(self, seal: Seal, count: int) -> None:
        kind = FaultKind.CHANGED
        if count != seal.event_count:
            kind = FaultKind.MISSING if count < seal.event_count else FaultKind.INVENTED
        self._report.add(
            kind,
            f"events of seal {seal.number}",
            f"{seal.event_count} were sealed, {count} are there,"
            " and not the same; no copy shows which",
        )


def _digest(chunks: Iterator[bytes]) -> str:
    hasher = hashlib.sha256()
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()


def _parsed(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield ids and lines of a copy whose digest has been verified."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)["id"], line + b"\n"
