"""Uploads per hour: a stored summary for each past hour, the last hours counted live.

A summary says until when its hour was known to be as it says. An upload of a past hour
changes with an event that is later than that; then its hour is counted again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from django.core.cache import cache
from django.db import connection
from django.db.models.functions import TruncHour
from django.utils import timezone

from uploads.models import STATUS_AFTER, HourSummary, Status, UploadEvent

HOUR = timedelta(hours=1)
#: How old `recent_hours` may be.
CACHE_SECONDS = 60
#: The last hours are counted each time; they have no summary.
LIVE_HOURS = 2
#: An event is written up to this long after its time: a statement waits for locks, and
#: the clocks of two pods differ.
EVENT_DELAY = timedelta(minutes=2)
#: Summaries not compared with the events for longer are counted again.
CHECKED_WITHIN = timedelta(days=1)
#: Latency buckets grow by a tenth from 0.1 ms, so a percentile is at most 10 % off.
BUCKET_GROWTH = 1.1
BUCKET_FLOOR_SECONDS = 0.0001


@dataclass(slots=True)
class Hour:
    """The uploads that began in one hour, by the status they have now."""

    start: datetime
    uploads: Counter[str] = field(default_factory=Counter)
    stored_bytes: int = 0
    latencies: Counter[int] = field(default_factory=Counter)


def recent_hours(count: int) -> list[Hour]:
    """Return the last `count` hours, the present one included, up to a minute old."""
    end = floor_hour(timezone.now()) + HOUR
    key = f"uploads.summaries/{count}/{end:%Y%m%d%H}"
    hours: list[Hour] | None = cache.get(key)
    if hours is None:
        hours = hours_between(end - count * HOUR, end)
        cache.set(key, hours, CACHE_SECONDS)
    return hours


def hours_between(start: datetime, end: datetime) -> list[Hour]:
    """Return each hour from `start` to `end` (exclusive), both on the hour.

    Stores the summaries of past hours.
    """
    now = timezone.now()
    live_from = floor_hour(now) - (LIVE_HOURS - 1) * HOUR
    hours = _current_summaries(start, min(end, live_from), now)
    counted = {at: Hour(at) for at in _hours(start, end) if at not in hours}
    for first, after in _runs(counted):
        _count(counted, first, after)
    hours |= counted
    _store([hour for at, hour in sorted(hours.items()) if at < live_from], now)
    return [hours[at] for at in _hours(start, end)]


def percentile(latencies: Counter[int], share: float) -> float | None:
    """Return the seconds that `share` (0 to 1) of the uploads stayed within."""
    total = latencies.total()
    if not total:
        return None
    left = share * total
    for bucket in sorted(latencies):
        left -= latencies[bucket]
        if left <= 0:
            break
    # The middle of the bucket, in the measure the buckets grow by.
    seconds: float = BUCKET_FLOOR_SECONDS * BUCKET_GROWTH ** (bucket + 0.5)
    return seconds


def floor_hour(at: datetime) -> datetime:
    """Return the full hour (UTC) that `at` lies in."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _hours(start: datetime, end: datetime) -> list[datetime]:
    return [start + i * HOUR for i in range(int((end - start) / HOUR))]


def _current_summaries(
    start: datetime, end: datetime, now: datetime
) -> dict[datetime, Hour]:
    """Return the summaries of uploads that have not changed since they were counted."""
    rows = HourSummary.objects.filter(
        hour__gte=start, hour__lt=end, current_at__gt=now - CHECKED_WITHIN
    )
    summaries = {
        row.hour: Hour(
            row.hour,
            Counter(row.uploads),
            row.stored_bytes,
            Counter({int(bucket): n for bucket, n in row.latencies.items()}),
        )
        for row in rows
    }
    if summaries:
        oldest = min(row.current_at for row in rows)
        changes = UploadEvent.objects.filter(
            at__gt=oldest - EVENT_DELAY,
            action__in=STATUS_AFTER,
            upload__created_at__gte=start,
            upload__created_at__lt=end,
        )
        hour = TruncHour("upload__created_at", tzinfo=UTC)
        for changed in changes.order_by().values_list(hour, flat=True).distinct():
            summaries.pop(changed, None)
    return summaries


def _store(hours: Sequence[Hour], now: datetime) -> None:
    """Store summaries that say everything known at `now`.

    A row is written as a whole: of two processes, the later to write may have counted
    earlier, and its row says so.
    """
    HourSummary.objects.bulk_create(
        [
            HourSummary(
                hour=hour.start,
                uploads=dict(hour.uploads),
                stored_bytes=hour.stored_bytes,
                latencies={str(k): n for k, n in sorted(hour.latencies.items())},
                current_at=now,
            )
            for hour in hours
        ],
        update_conflicts=True,
        unique_fields=["hour"],
        update_fields=["uploads", "stored_bytes", "latencies", "current_at"],
    )


def _runs(hours: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    """Return neighbouring hours as ranges (start, end exclusive)."""
    ordered = sorted(hours)
    if not ordered:
        return []
    breaks = [i for i, (a, b) in enumerate(pairwise(ordered), 1) if b - a != HOUR]
    edges = [0, *breaks, len(ordered)]
    return [(ordered[a], ordered[b - 1] + HOUR) for a, b in pairwise(edges)]


_GROUPS = f"""
    SELECT date_trunc('hour', created_at, 'UTC') AS hour, status,
        CASE WHEN status = 'stored' THEN cast(floor(ln(
            greatest(extract(epoch FROM duration)::float8, {BUCKET_FLOOR_SECONDS})
            / {BUCKET_FLOOR_SECONDS}) / {math.log(BUCKET_GROWTH)}) AS integer) END,
        COUNT(*), SUM(size)
    FROM uploads_upload WHERE created_at >= %s AND created_at < %s
    GROUP BY 1, 2, 3
"""  # noqa: S608 numbers from here


def _count(hours: dict[datetime, Hour], start: datetime, end: datetime) -> None:
    """Add the uploads that began in a range to `hours`."""
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, [start, end])
        for at, status, latency, count, size in cursor.fetchall():
            hour = hours[at.astimezone(UTC)]
            hour.uploads[status] += count
            if status == Status.STORED:
                hour.stored_bytes += int(size)
            if latency is not None:
                hour.latencies[latency] += count
