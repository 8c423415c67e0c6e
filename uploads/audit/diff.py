"""Reports how sealed events differ between their copies and the database."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from uploads.audit.canonical import encode
from uploads.audit.models import UploadEvent
from uploads.audit.report import FaultKind, Report
from uploads.audit.serialization import readable_lines

_L = TypeVar("_L")
_R = TypeVar("_R")

#: Differences kept to find events that moved; a longer list is reported in pieces.
_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class _Difference:
    """An id under a seal: the line that was sealed, and the line that is there."""

    event: int
    seal: int | None
    expected: bytes | None
    found: bytes | None


class Differences:
    """Collects differences between copies and database, over all seals."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._kept: list[_Difference] = []

    def compare(
        self,
        seal: int | None,
        expected: Iterator[tuple[int, bytes]],
        found: Iterator[tuple[int, bytes]],
    ) -> None:
        """Compare the lines of one seal's copy with those of the database, by id.

        Without a seal, `found` are lines under seals that do not exist.
        """
        for event_id, wanted, seen in outer_join(expected, found):
            if wanted != seen:
                self._add(_Difference(event_id, seal, wanted, seen))

    def report_all(self) -> None:
        """Report what was collected."""
        kept, self._kept = self._kept, []
        sealed = {_without_id(d.expected): d for d in kept if d.expected is not None}
        present = {_without_id(d.found): d for d in kept if d.found is not None}
        for difference in kept:
            fault = _fault(difference, sealed, present)
            if fault is not None:
                kind, detail = fault
                self._report.add(kind, f"event {difference.event}", detail)

    def _add(self, difference: _Difference) -> None:
        self._kept.append(difference)
        if len(self._kept) >= _KEPT:
            self.report_all()


_ByStory = dict[bytes, _Difference]


def _fault(
    difference: _Difference, sealed: _ByStory, present: _ByStory
) -> tuple[FaultKind, str] | None:
    """Return the fault; `sealed` and `present` have all differences by line without id.

    None for an event that moved here: it is reported where it was sealed.
    """
    seal, expected, found = difference.seal, difference.expected, difference.found
    is_from_elsewhere = found is not None and _without_id(found) in sealed
    if expected is None:
        if is_from_elsewhere:
            return None
        if seal is None:
            return FaultKind.INVENTED, "under a seal that there is not"
        return FaultKind.INVENTED, f"under seal {seal}, which does not cover it"
    moved = present.get(_without_id(expected))
    if moved is not None:
        where = "no seal that there is" if moved.seal is None else f"seal {moved.seal}"
        return (
            FaultKind.REORDERED,
            f"sealed by seal {seal}, now has id {moved.event} under {where}",
        )
    if found is None:
        return _absent(difference.event, f"sealed by seal {seal}", expected)
    if is_from_elsewhere:
        return FaultKind.MISSING, f"sealed by seal {seal}; another event has its id"
    fields = _changed_fields(expected, found)
    return FaultKind.CHANGED, f"sealed by seal {seal}; differs in {fields}"


def _absent(event_id: int, sealed: str, expected: bytes) -> tuple[FaultKind, str]:
    """Return whether an event is missing or lost its seal."""
    row = UploadEvent.objects.filter(pk=event_id)
    seals = list(row.values_list("seal_id", flat=True))
    if not seals:
        return FaultKind.MISSING, sealed
    is_unsealed = row.filter(seal=None).exists()
    now = "now under no seal" if is_unsealed else f"now under seal {seals[0]}"
    lines = [line for _, line in readable_lines(row)]
    if lines == [expected]:
        return FaultKind.REORDERED, f"{sealed}, {now}"
    fields = _changed_fields(expected, lines[0])
    return FaultKind.CHANGED, f"{sealed}, {now}; differs in {fields}"


def outer_join(
    left: Iterator[tuple[int, _L]], right: Iterator[tuple[int, _R]]
) -> Iterator[tuple[int, _L | None, _R | None]]:
    """Yield each key of two sorted iterators with the value that each has for it."""
    merged: Iterator[tuple[int, int, Any]] = heapq.merge(
        ((key, 0, value) for key, value in left),
        ((key, 1, value) for key, value in right),
        key=itemgetter(0),
    )
    for key, group in groupby(merged, itemgetter(0)):
        values = {side: value for _, side, value in group}
        yield key, values.get(0), values.get(1)


def _without_id(line: bytes) -> bytes:
    """Return a line without its id."""
    values = json.loads(line)
    values.pop("id", None)
    return encode(values)


def _changed_fields(expected: bytes, found: bytes) -> str:
    before, after = json.loads(expected), json.loads(found)
    names = sorted(before | after)
    return ", ".join(name for name in names if before.get(name) != after.get(name))
