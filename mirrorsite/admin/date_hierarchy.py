"""The date hierarchy of a list: years, months, days and hours, in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: Length in ISO 8601 of a year, a month, a day and an hour.
_LENGTHS = (len("2026"), len("2026-11"), len("2026-11-23"), len("2026-11-23T18"))
_FULL_NAMES = ("%Y", "%B %Y", "%-d %B %Y", "%-d %B %Y, %H:00")
#: Names that leave out the containing period.
_SHORT_NAMES = ("%Y", "%B", "%-d", "%H:00")
#: A time that is this long after the start of a period is in the following one.
_SPANS = (
    timedelta(days=366),
    timedelta(days=31),
    timedelta(days=1),
    timedelta(hours=1),
)


@dataclass(frozen=True, slots=True)
class Period:
    """A year (`level` 0), month (1), day (2) or hour (3)."""

    start: datetime
    level: int

    def __str__(self) -> str:
        return self.start.isoformat()[: _LENGTHS[self.level]]

    def full_name(self) -> str:
        return self.start.strftime(_FULL_NAMES[self.level])

    def short_name(self) -> str:
        return self.start.strftime(_SHORT_NAMES[self.level])

    def following(self) -> Period:
        return _containing(self.start + _SPANS[self.level], self.level)

    def above(self) -> list[Period]:
        """Return the periods that contain it, largest first."""
        return [_containing(self.start, level) for level in range(self.level)]


def parse(text: str) -> Period:
    """Read `2026`, `2026-11`, `2026-11-23` or `2026-11-23T18`; raises ValueError."""
    start = datetime.fromisoformat(text + "0000-01-01T00:00:00+00:00"[len(text) :])
    period = Period(start, _LENGTHS.index(len(text)))
    if str(period) != text:
        raise ValueError(f"{text!r} is not a year, month, day or hour")
    return period


def subdivisions(
    period: Period | None, first: datetime, last: datetime
) -> list[Period]:
    """Return the years, months, days or hours of a period from `first` to `last`.

    None stands for all time. A single year or month is replaced by its own
    subdivisions, since it offers no choice.
    """
    level = period.level + 1 if period else 0
    if level == len(_LENGTHS):
        return []
    part = _containing(max(first, period.start) if period else first, level)
    end = period.following().start if period else None
    parts = []
    while part.start <= last and (end is None or part.start < end):
        parts.append(part)
        part = part.following()
    if len(parts) == 1 and level < 2:
        return subdivisions(parts[0], first, last)
    return parts


def _containing(at: datetime, level: int) -> Period:
    return parse(at.astimezone(UTC).isoformat()[: _LENGTHS[level]])
