"""Types of command-line arguments: durations, points in time, counts. No Django here."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta
from functools import partial

from mirrorsite.times import parse_time

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36_525)
_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")


def duration(text: str) -> timedelta:
    """Parse a duration such as `90s`, `15m`, `2h`, `30d` or `4w`.

    An argparse type: raises `argparse.ArgumentTypeError`.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration; write a whole number and a unit,"
            " such as 90s, 15m, 2h, 30d or 4w"
        )
    span = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if span > _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is more than a century")
    return span


def minimum_age(text: str) -> timedelta:
    """Parse a minimum age above zero; an age of zero would select everything.

    An argparse type.
    """
    span = duration(text)
    if not span:
        raise argparse.ArgumentTypeError(
            f"{text!r} would select everything; write 1s if you mean that"
        )
    return span


def moment(text: str) -> datetime:
    """Parse a point in time, or a duration before now.

    Accepts `2026-11-23`, `2026-11-23T10:30:00Z` and `30d`; a time without an offset is in
    UTC. An argparse type: raises `argparse.ArgumentTypeError`.
    """
    text = text.strip()
    if _DURATION.fullmatch(text):
        return datetime.now(UTC) - duration(text)
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{error}; write 2026-11-23, 2026-11-23T10:30:00Z, or how long ago, such as"
            " 30d"
        ) from error


def positive_count(text: str, *, most: int = 64) -> int:
    """Parse a whole number from 1 to `most`; an argparse type."""
    if not re.fullmatch("[0-9]{1,10}", text) or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from 1 to {most}"
        )
    return int(text)


def _positive(text: str, *, unit: str, most: int) -> float:
    refusal = f"{text!r} is not a number of {unit} above 0 and up to {most}"
    try:
        number = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(refusal) from error
    if not 0 < number <= most:  # true for NaN too
        raise argparse.ArgumentTypeError(refusal)
    return number


#: Up to a day.
positive_seconds = partial(_positive, unit="seconds", most=86_400)
#: Up to a year.
positive_minutes = partial(_positive, unit="minutes", most=527_040)


def seal_or_time(text: str) -> int | datetime:
    """Parse a seal number, a point in time, or a duration before now."""
    if re.fullmatch("[0-9]{1,10}", text):  # seals' keys in the bucket have ten digits
        return int(text)
    try:
        return moment(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error} (or give a seal number)") from error
