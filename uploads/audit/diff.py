"""Naming what happened to sealed events, from what is expected and what is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from uploads.audit.canonical import encode
from uploads.audit.report import FaultKind, Report
from uploads.audit.serialization import readable_lines
from uploads.models import UploadEvent

#: Differences kept to find what moved; beyond them each is named for itself.
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
        """Walk the lines of one seal's copy and of the database side by side, by id.

        Without a seal: lines of the database under seals that there are not.
        """
        wanted = next(expected, None)
        seen = next(found, None)
        while wanted is not None or seen is not None:
            if seen is None or (wanted is not None and wanted[0] < seen[0]):
                assert wanted is not None  # noqa: S101 one of the two is there
                self._add(_Difference(wanted[0], seal, wanted[1], None))
                wanted = next(expected, None)
            elif wanted is None or seen[0] < wanted[0]:
                self._add(_Difference(seen[0], seal, None, seen[1]))
                seen = next(found, None)
            else:
                if wanted[1] != seen[1]:
                    self._add(_Difference(seen[0], seal, wanted[1], seen[1]))
                wanted = next(expected, None)
                seen = next(found, None)

    def name_all(self) -> None:
        """Turn what was collected into faults, now that all of it is known."""
        kept, self._kept = self._kept, []
        sealed_as: dict[bytes, _Difference] = {}
        there_as: dict[bytes, _Difference] = {}
        for difference in kept:
            if difference.expected is not None:
                sealed_as[_story(difference.expected)] = difference
            if difference.found is not None:
                there_as[_story(difference.found)] = difference
        for difference in kept:
            self._name(difference, sealed_as, there_as)

    def _add(self, difference: _Difference) -> None:
        self._kept.append(difference)
        if len(self._kept) >= _KEPT:
            self.name_all()

    def _name(
        self,
        difference: _Difference,
        sealed_as: dict[bytes, _Difference],
        there_as: dict[bytes, _Difference],
    ) -> None:
        subject = f"event {difference.event}"
        report = self._report
        if difference.expected is None:
            assert difference.found is not None  # noqa: S101 one of the two is there
            if _story(difference.found) not in sealed_as:
                where = "under a seal that there is not"
                if difference.seal is not None:
                    where = f"under seal {difference.seal}, which does not cover it"
                report.add(FaultKind.INVENTED, subject, where)
            return  # what moved is named where it was sealed
        moved = there_as.get(_story(difference.expected))
        if moved is not None:
            seal = (
                "no seal that there is" if moved.seal is None else f"seal {moved.seal}"
            )
            where = f"id {moved.event} under {seal}"
            report.add(
                FaultKind.REORDERED,
                subject,
                f"sealed by seal {difference.seal}, now has {where}",
            )
        elif difference.found is None:
            self._name_absent(difference, difference.expected)
        elif _story(difference.found) not in sealed_as:
            fields = ", ".join(_changed_fields(difference.expected, difference.found))
            report.add(
                FaultKind.CHANGED,
                subject,
                f"sealed by seal {difference.seal}; differs in {fields}",
            )
        else:
            report.add(
                FaultKind.MISSING,
                subject,
                f"sealed by seal {difference.seal}; another event has its id",
            )

    def _name_absent(self, difference: _Difference, expected: bytes) -> None:
        """Tell an event that is gone from one that lost its seal."""
        subject = f"event {difference.event}"
        sealed = f"sealed by seal {difference.seal}"
        row = UploadEvent.objects.filter(pk=difference.event)
        seals = list(row.values_list("seal_id", flat=True))
        if not seals:
            self._report.add(FaultKind.MISSING, subject, sealed)
            return
        is_unsealed = row.filter(seal=None).exists()
        now = "now under no seal" if is_unsealed else f"now under seal {seals[0]}"
        lines = [line for _, line in readable_lines(row)]
        if lines == [expected]:
            self._report.add(FaultKind.REORDERED, subject, f"{sealed}, {now}")
            return
        fields = ", ".join(_changed_fields(expected, lines[0]))
        self._report.add(
            FaultKind.CHANGED, subject, f"{sealed}, {now}; differs in {fields}"
        )


def _story(line: bytes) -> bytes:
    """Return a line without its id: what happened, wherever it stands."""
    values = json.loads(line)
    values.pop("id", None)
    return encode(values)


def _changed_fields(expected: bytes, found: bytes) -> list[str]:
    before, after = json.loads(expected), json.loads(found)
    return [
        name for name in sorted(before | after) if before.get(name) != after.get(name)
    ]
