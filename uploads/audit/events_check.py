"""Checks the events of each seal, in database and bucket, against the seal's root."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Collection, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from django.db.models import Count, Exists, OuterRef, Q

from uploads.audit.canonical import NotCanonicalError, Seal, encode, parse_event_id
from uploads.audit.models import AuditSeal, UploadEvent
from uploads.audit.report import FaultKind, Report
from uploads.audit.seal_store import SealStore
from uploads.audit.serialization import readable_lines
from uploads.exceptions import ObjectMissingError
from uploads.payloads import sha256_of

_L = TypeVar("_L")
_R = TypeVar("_R")

#: Differences kept in memory, to find events that were moved to another seal. At this
#: number they are reported and cleared; a move between two such batches is reported as
#: two faults.
_MAX_DIFFERENCES = 10_000


@dataclass(frozen=True, slots=True)
class _Difference:
    """An event's id and seal, and its line as sealed and as in the database, if any."""

    event: int
    seal: int | None
    expected: bytes | None
    found: bytes | None


class EventsCheck:
    """Checks the events of seals, one seal at a time.

    Without a `store` only the database is read, not the copies in the bucket.
    """

    def __init__(self, report: Report, store: SealStore | None) -> None:
        self._report = report
        self._store = store
        #: Differences between copies and database, over all seals.
        self._differences: list[_Difference] = []

    def check(self, seal: Seal) -> None:
        """Compare the root of a seal with its events in the database and with their copy."""
        hasher = hashlib.sha256()
        count, first, last = 0, None, None
        for event_id, line in readable_lines(
            UploadEvent.objects.filter(seal_id=seal.number)
        ):
            hasher.update(line)
            count += 1
            first, last = event_id if count == 1 else first, event_id
        self._report.events += count
        is_intact = hasher.hexdigest() == seal.root
        # Before the `return`, so that a bad copy of intact events is reported too.
        lines = self._copied_lines(seal)
        subject = f"events of seal {seal.number}"
        if is_intact:
            # Whoever stole the key can sign a seal in which these three are false.
            if (count, first, last) != (
                seal.event_count,
                seal.first_event,
                seal.last_event,
            ):
                detail = (
                    "their count, or the first or last one, is not that of the seal"
                )
                self._report.add(FaultKind.CHANGED, subject, detail)
            return
        if lines is None:
            self._report_without_copy(seal, count)
            return
        try:
            self._compare(
                seal.number,
                lines,
                readable_lines(UploadEvent.objects.filter(seal_id=seal.number)),
            )
        except NotCanonicalError as error:
            self._report.add(FaultKind.CHANGED, subject, f"in the copy, {error}")

    def check_dangling(self, first: int, *, excluding: Collection[int]) -> None:
        """Collect events under seals that do not exist, from seal `first` on.

        `excluding` are the numbers of seals that only the bucket has, whose events were
        checked already. Seals are numbered from 1: an event whose `seal_id` is lower is
        collected even if the table of seals has a row with that number. An event whose
        `seal_id` is 1 or more can lack its seal only if the tables' owner dropped the
        foreign key.
        """
        rows = AuditSeal.objects.filter(number=OuterRef("seal_id"))
        dangling = UploadEvent.objects.filter(
            Q(seal_id__lt=1) | (Q(seal_id__gte=first) & ~Exists(rows))
        ).exclude(seal_id__in=excluding)
        self._compare(None, iter(()), readable_lines(dangling))

    def check_twins(self) -> None:
        """Report ids that more than one event has.

        If two events with one id were both sealed, under one seal or two, the comparison
        does not find them. Such events can exist only if the tables' owner dropped the
        primary key, and cannot be restored.
        """
        rows = UploadEvent.objects.values_list("id").annotate(rows=Count("id"))
        for event_id, count in rows.filter(rows__gt=1).iterator():
            detail = f"{count} events have this id"
            self._report.add(FaultKind.INVENTED, f"event {event_id}", detail)

    def report_differences(self) -> None:
        """Report the differences collected so far; call it after the last seal."""
        differences, self._differences = self._differences, []
        sealed = {
            _without_id(d.expected): d for d in differences if d.expected is not None
        }
        present = {_without_id(d.found): d for d in differences if d.found is not None}
        for difference in differences:
            fault = _fault(difference, sealed, present)
            if fault is not None:
                kind, detail = fault
                self._report.add(kind, f"event {difference.event}", detail)

    def _compare(
        self,
        seal: int | None,
        expected: Iterator[tuple[int, bytes]],
        found: Generator[tuple[int, bytes]],
    ) -> None:
        """Compare the lines of one seal's copy with those of the database, by id.

        Without a seal, `found` are lines under seals that do not exist.
        """
        # Closes the query if reading `expected` from the bucket fails: a garbage collection
        # must not do that; see uploads/audit/verification.py.
        with closing(found):
            for event_id, expected_line, found_line in outer_join(expected, found):
                if expected_line != found_line:
                    self._differences.append(
                        _Difference(event_id, seal, expected_line, found_line)
                    )
                    if len(self._differences) >= _MAX_DIFFERENCES:
                        self.report_differences()

    def _copied_lines(self, seal: Seal) -> Iterator[tuple[int, bytes]] | None:
        """Return the sealed lines from the bucket, or None; report a bad copy."""
        if self._store is None:
            return None
        subject = f"events of seal {seal.number}"
        try:
            if sha256_of(self._store.events(seal)) == seal.root:
                return _parse_lines(self._store.events(seal))
            self._report.add(
                FaultKind.COPY_DIFFERS, subject, "the object is not what was sealed"
            )
        except ObjectMissingError:
            detail = f"no {self._store.events_object_key(seal)}"
            self._report.add(FaultKind.COPY_MISSING, subject, detail)
        # Overwritten or deleted: the oldest version may still be what was sealed.
        with suppress(ObjectMissingError):
            if sha256_of(self._store.oldest_version_of_events(seal)) == seal.root:
                return _parse_lines(self._store.oldest_version_of_events(seal))
        return None

    def _report_without_copy(self, seal: Seal, count: int) -> None:
        kind = FaultKind.CHANGED
        if count != seal.event_count:
            kind = FaultKind.MISSING if count < seal.event_count else FaultKind.INVENTED
        self._report.add(
            kind,
            f"events of seal {seal.number}",
            f"{seal.event_count} were sealed; the database has {count}, not the same ones;"
            " only the copy in the bucket could show which differ",
        )


_ByLine = dict[bytes, _Difference]


def _fault(
    difference: _Difference, sealed: _ByLine, present: _ByLine
) -> tuple[FaultKind, str] | None:
    """Return a difference's fault, or None for an event that was moved here.

    A moved event is reported once, where it was sealed. `sealed` has all differences by
    the line that was sealed, and `present` by the line in the database, without the id.
    """
    seal, expected, found = difference.seal, difference.expected, difference.found
    is_from_elsewhere = found is not None and _without_id(found) in sealed
    if expected is None:
        if is_from_elsewhere:
            return None
        if seal is None:
            return FaultKind.INVENTED, "under a seal that does not exist"
        return FaultKind.INVENTED, f"under seal {seal}, which does not cover it"
    origin = f"sealed by seal {seal}"
    moved = present.get(_without_id(expected))
    if moved is not None:
        where = (
            "a seal that does not exist" if moved.seal is None else f"seal {moved.seal}"
        )
        return (
            FaultKind.REORDERED,
            f"{origin}, now has id {moved.event} under {where}",
        )
    if found is None:
        return _absent(difference.event, origin, expected)
    if is_from_elsewhere:
        # `found` is reported where it was sealed; the event it has replaced is missing.
        return FaultKind.MISSING, f"{origin}; another event has its id"
    fields = _changed_fields(expected, found)
    return FaultKind.CHANGED, f"{origin}; differs in {fields}"


def _absent(event_id: int, origin: str, expected: bytes) -> tuple[FaultKind, str]:
    """Return the fault of a sealed event that is no longer under its seal.

    `origin` begins the message: it names the seal.
    """
    # More than one row only after the tables' owner has dropped the primary key.
    rows = UploadEvent.objects.filter(pk=event_id)
    seals = list(rows.values_list("seal_id", flat=True))
    if not seals:
        return FaultKind.MISSING, origin
    now = "now under no seal" if None in seals else f"now under seal {seals[0]}"
    lines = [line for _, line in readable_lines(rows)]
    if lines == [expected]:
        return FaultKind.REORDERED, f"{origin}, {now}"
    fields = _changed_fields(expected, lines[0])
    return FaultKind.CHANGED, f"{origin}, {now}; differs in {fields}"


def outer_join(
    left: Iterator[tuple[int, _L]], right: Iterator[tuple[int, _R]]
) -> Iterator[tuple[int, _L | None, _R | None]]:
    """Yield each key of two sorted iterators, with its two values; None for a missing one.

    A duplicate key is yielded twice, and a null key last: both can occur after the
    tables' owner has dropped a primary key.
    """
    merged: Iterator[tuple[int, int, Any]] = heapq.merge(
        ((key, 0, value) for key, value in left),
        ((key, 1, value) for key, value in right),
        key=lambda item: (item[0] is None, item[0]),
    )
    for key, group in groupby(merged, itemgetter(0)):
        values: dict[int, Any] = {}
        for _, side, value in group:
            if side in values:
                yield key, values.get(0), values.get(1)
                values = {}
            values[side] = value
        yield key, values.get(0), values.get(1)


def _without_id(line: bytes) -> bytes:
    values = json.loads(line)
    values.pop("id", None)
    return encode(values)


def _changed_fields(expected: bytes, found: bytes) -> str:
    before, after = json.loads(expected), json.loads(found)
    names = sorted(before | after)
    return ", ".join(name for name in names if before.get(name) != after.get(name))


def _parse_lines(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield ids and lines of a copy whose digest has been verified.

    Raises `NotCanonicalError` for a line that is not an event.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield parse_event_id(line + b"\n"), line + b"\n"
