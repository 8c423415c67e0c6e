"""Years, months, days and hours to step through. Pure: no Django."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_FORM = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d))?)?)?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """A year, month, day or hour in UTC: `at` is its start, `depth` 1 to 4 its kind."""

    at: datetime
    depth: int

    def __str__(self) -> str:
        return self.at.strftime(
            ["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H"][self.depth - 1]
        )

    def full_name(self) -> str:
        """Return its full name, for use outside the period that contains it."""
        form = ["%Y", "%B %Y", "%-d %B %Y", "%-d %B %Y, %H:00"][self.depth - 1]
        return self.at.strftime(form)

    def short_name(self) -> str:
        """Return its short name, for use within the period that contains it."""
        return self.at.strftime(["%Y", "%B", "%-d", "%H:00"][self.depth - 1])

    def bounds(self) -> tuple[datetime, datetime]:
        """Return its start and its end, which is not part of it."""
        return self.at, self._next().at

    def above(self) -> list[Period]:
        """Return what it is part of, largest first."""
        return [_period(self.at, depth) for depth in range(1, self.depth)]

    def _next(self) -> Period:
        if self.depth == 1:
            at = self.at.replace(year=self.at.year + 1)
        elif self.depth == 2:
            at = (self.at + timedelta(days=32)).replace(day=1)
        else:
            at = self.at + (timedelta(days=1), timedelta(hours=1))[self.depth - 3]
        return Period(at, self.depth)


def parse(text: str) -> Period:
    """Read `2026`, `2026-11`, `2026-11-23` or `2026-11-23T18`; raises ValueError."""
    match = _FORM.match(text)
    if not match or match[1] == "9999":
        raise ValueError(f"{text!r} is no year, month, day or hour")
    year, month, day, hour = match.groups()
    at = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), tzinfo=UTC)
    return Period(at, sum(part is not None for part in match.groups()))


def below(period: Period | None, first: datetime, last: datetime) -> list[Period]:
    """Return the parts of a period (None: of all time) from `first` to `last`.

    A single year or month is stepped over, as there is nothing to choose.
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
        at = at._next()
    if len(parts) == 1 and depth < 3:
        return below(parts[0], first, last)
    return parts


def _period(at: datetime, depth: int) -> Period:
    at = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    names = ("month", "day", "hour")[depth - 1 :]
    at = at.replace(**{name: 0 if name == "hour" else 1 for name in names})  # type: ignore[arg-type]
    return Period(at, depth)
