"""Strict parsing of points in time. No Django here."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_HOUR = r"(?:[01][0-9]|2[0-3])"
_MINUTE = _SECOND = r"[0-5][0-9]"
#: A date-time of RFC 3339, section 5.6, whose offset, seconds or whole time of day may be
#: missing. What else `fromisoformat` accepts depends on Python's version (24:00, +00:99,
#: week dates).
_TIME = re.compile(
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}"
    rf"([Tt ]{_HOUR}:{_MINUTE}(:{_SECOND}(\.[0-9]{{1,9}})?)?"
    rf"([Zz]|[+-]{_HOUR}:{_MINUTE})?)?"
)


def parse_time(text: str) -> datetime:
    """Parse a point in time into UTC, which is assumed if there is no offset.

    Raises `ValueError` for text of another form than `_TIME`, and for values out of
    range: 24:00, a leap second, a year outside 1 to 9999 in UTC.
    """
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is not a point in time")
    at = datetime.fromisoformat(text.upper())
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is beyond the years 1 to 9999 in UTC") from error
