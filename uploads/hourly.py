"""The dashboard's figures: uploads per hour, by status, with bytes and durations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.core.cache import cache
from django.db import connection
from django.utils import timezone

HOUR = timedelta(hours=1)
#: How long `recent_hours` is cached.
CACHE_SECONDS = 60
PERCENTILES = (0.50, 0.95, 0.99)


@dataclass(slots=True)
class Hour:
    """The uploads requested in one hour, by the status they have now.

    `durations` are the `PERCENTILES` of the durations in seconds; empty if there are
    none.
    """

    start: datetime
    uploads: Counter[str] = field(default_factory=Counter)
    stored_bytes: int = 0
    durations: list[float] = field(default_factory=list)


def recent_hours(count: int) -> list[Hour]:
    """Return the last `count` hours, including the current one.

    The figures are up to a minute old: counting a million uploads takes about a second,
    so the result is cached. Raises `OperationalError` when counting exceeds the
    statement timeout.
    """
    end = floor_hour(timezone.now()) + HOUR
    key = f"uploads.hourly/{count}/{end:%Y%m%d%H}"
    hours: list[Hour] | None = cache.get(key)
    if hours is None:
        hours = _count(end - count * HOUR, end)
        cache.set(key, hours, CACHE_SECONDS)
    return hours


def floor_hour(at: datetime) -> datetime:
    """Return the start of the hour (UTC) that contains `at`."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


_GROUPS = """
    SELECT date_trunc('hour', created_at, 'UTC'), status, count(*), sum(size),
        CASE WHEN status = 'stored' THEN percentile_disc(%s::float8[])
            WITHIN GROUP (ORDER BY extract(epoch FROM duration)::float8) END
    FROM uploads_upload WHERE created_at >= %s AND created_at < %s
    GROUP BY 1, 2
"""


def _count(start: datetime, end: datetime) -> list[Hour]:
    count = int((end - start) / HOUR)
    hours = {at: Hour(at) for at in (start + i * HOUR for i in range(count))}
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, [list(PERCENTILES), start, end])
        for at, status, uploads, size, durations in cursor.fetchall():
            hour = hours[at.astimezone(UTC)]
            hour.uploads[status] = uploads
            if status == "stored":
                hour.stored_bytes = int(size)
                hour.durations = [s for s in durations or () if s is not None]
    return list(hours.values())
