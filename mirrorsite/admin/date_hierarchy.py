"""The date hierarchy of a list: years, months, days and hours, in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: Length in ISO 8601 of a year, a month, a day and an hour.
_LENGTHS = (len("2026"), len("2026-11"), len("2026-11-23"), len("2026-11-23T18"))
#: A period's text is the beginning of an ISO 8601 time. The rest of this one completes it
#: to the time at which the period starts.
_FIRST_TIME = "0000-01-01T00:00:00+00:00"
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
        """Return the periods that contain this one, largest first."""
        return [_containing(self.start, level) for level in range(self.level)]


def parse(text: str) -> Period:
    """Parse `2026`, `2026-11`, `2026-11-23` or `2026-11-23T18`; raises `ValueError`."""
    level = _LENGTHS.index(len(text))
    start = datetime.fromisoformat(text + _FIRST_TIME[len(text) :])
    period = Period(start, level)
    if str(period) != text:  # fromisoformat() accepts week dates too
        raise ValueError(f"{text!r} is not a year, month, day or hour")
    return period


def subdivisions(
    period: Period | None, first: datetime, last: datetime
) -> list[Period]:
    """Return the parts of a period, such as months, from that of `first` to that of `last`.

    None stands for all time, whose parts are years. A single year or month is replaced by
    its own subdivisions, since it offers no choice.
    """
    level = period.level + 1 if period else 0
    if level == len(_LENGTHS):
        return []
    start = max(first, period.start) if period else first
    end = period.following().start if period else None
    part = _containing(start, level)
    parts = []
    while part.start <= last and (end is None or part.start < end):
        parts.append(part)
        part = part.following()
    is_year_or_month = level < 2
    if len(parts) == 1 and is_year_or_month:
        return subdivisions(parts[0], first, last)
    return parts


def _containing(at: datetime, level: int) -> Period:
    """Return the period of this level that contains a time."""
    return parse(at.astimezone(UTC).isoformat()[: _LENGTHS[level]])
