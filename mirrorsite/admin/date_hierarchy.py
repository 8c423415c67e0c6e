"""The date hierarchy of a list: years, months, days and hours. Pure: no Django."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_FORM = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d))?)?)?\Z", re.ASCII)


#: For year, month, day and hour: the length of its text in ISO 8601, the formats of its
#: full name and of its short name (within the period that contains it), and a span from
#: its start into the next.
_KINDS = (
    (len("2026"), "%Y", "%Y", timedelta(days=366)),
    (len("2026-11"), "%B %Y", "%B", timedelta(days=31)),
    (len("2026-11-23"), "%-d %B %Y", "%-d", timedelta(days=1)),
    (len("2026-11-23T18"), "%-d %B %Y, %H:00", "%H:00", timedelta(hours=1)),
)


@dataclass(frozen=True, slots=True)
class Period:
    """A year (`depth` 1), month (2), day (3) or hour (4) that starts at `at`, in UTC."""

    at: datetime
    depth: int

    def __str__(self) -> str:
        return self.at.isoformat()[: _KINDS[self.depth - 1][0]]

    def full_name(self) -> str:
        """Return its full name, for use outside the period that contains it."""
        return self.at.strftime(_KINDS[self.depth - 1][1])

    def short_name(self) -> str:
        """Return its short name, for use within the period that contains it."""
        return self.at.strftime(_KINDS[self.depth - 1][2])

    def bounds(self) -> tuple[datetime, datetime]:
        """Return its start and its end, which is not part of it."""
        return self.at, self.following().at

    def above(self) -> list[Period]:
        """Return the periods that contain it, largest first."""
        return [_period(self.at, depth) for depth in range(1, self.depth)]

    def following(self) -> Period:
        return _period(self.at + _KINDS[self.depth - 1][3], self.depth)


def parse(text: str) -> Period:
    """Read `2026`, `2026-11`, `2026-11-23` or `2026-11-23T18`; raises ValueError."""
    match = _FORM.match(text)
    if not match or match[1] == "9999":
        raise ValueError(f"{text!r} is no year, month, day or hour")
    year, month, day, hour = match.groups()
    at = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), tzinfo=UTC)
    return Period(at, sum(part is not None for part in match.groups()))


def subdivisions(
    period: Period | None, first: datetime, last: datetime
) -> list[Period]:
    """Return the years, months, days or hours of a period from `first` to `last`.

    None stands for all time. A single year or month is replaced by its own
    subdivisions, since it offers no choice.
    """
    depth = period.depth + 1 if period else 1
    if depth > 4:
        return []
    start, end = (
        period.bounds() if period else (first, last + timedelta(microseconds=1))
    )
    at = _period(max(start, first), depth)
    parts = []
    while at.at < end and at.at <= last:
        parts.append(at)
        at = at.following()
    if len(parts) == 1 and depth < 3:
        return subdivisions(parts[0], first, last)
    return parts


def _period(at: datetime, depth: int) -> Period:
    at = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    names = ("month", "day", "hour")[depth - 1 :]
    at = at.replace(**{name: 0 if name == "hour" else 1 for name in names})  # type: ignore[arg-type]
    return Period(at, depth)
