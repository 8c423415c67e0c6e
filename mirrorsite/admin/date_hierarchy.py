"""The date hierarchy of a list: years, months, days and hours, in UTC.

A period is written as the beginning of an ISO 8601 time: `2026`, `2026-11`, `2026-11-23`
or `2026-11-23T18`. Periods of one length compare as times do. "" is all time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple


class _Level(NamedTuple):
    #: Added to the start of a period, it gives a time within the following period.
    span: timedelta
    name: str
    #: The name without that of the containing period.
    short_name: str


#: By the length of a period's text.
_LEVELS = {
    4: _Level(timedelta(days=366), "%Y", "%Y"),
    7: _Level(timedelta(days=31), "%B %Y", "%B"),
    10: _Level(timedelta(days=1), "%-d %B %Y", "%-d"),
    13: _Level(timedelta(hours=1), "%-d %B %Y, %H:00", "%H:00"),
}
#: Completes a period to the time of its start: "2026" + "-01-01T00:00:00+00:00".
_FIRST_TIME = "0001-01-01T00:00:00+00:00"


def start_of(period: str) -> datetime:
    """Return the time at which a period starts; raises `ValueError` for other text."""
    length = len(period)
    start = datetime.fromisoformat(period + _FIRST_TIME[length:])
    # fromisoformat() accepts week dates too.
    if length not in _LEVELS or start.isoformat()[:length] != period:
        raise ValueError(f"{period!r} is not a year, month, day or hour")
    return start


def following(period: str) -> str:
    start, length = start_of(period), len(period)
    return (start + _LEVELS[length].span).isoformat()[:length]


def containing(period: str) -> list[str]:
    """Return the periods that contain this one, largest first."""
    return [period[:length] for length in _LEVELS if length < len(period)]


def name(period: str) -> str:
    return start_of(period).strftime(_LEVELS[len(period)].name)


def short_name(period: str) -> str:
    return start_of(period).strftime(_LEVELS[len(period)].short_name)


def subdivisions(period: str, first: datetime, last: datetime) -> list[str]:
    """Return the parts of a period, such as the months of a year, between two times.

    `first` and `last` are in UTC; the parts that contain them are included. A single year
    or month is replaced by its own subdivisions, since it offers no choice.
    """
    length = next((length for length in _LEVELS if length > len(period)), None)
    if length is None:
        return []
    start = period + _FIRST_TIME[len(period) :]
    part = max(first.isoformat(), start)[:length]
    parts = []
    while part <= last.isoformat()[:length] and part.startswith(period):
        parts.append(part)
        part = following(part)
    if len(parts) == 1 and length < len("2026-11-23"):
        return subdivisions(parts[0], first, last)
    return parts
