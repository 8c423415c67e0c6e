"""Uploads per hour, kept as one row for each past hour and counted live for the last.

A summary is made from what is committed when it is made. An upload of a past hour
whose status changes afterwards leaves a `StaleHour` in the same transaction, and the
next look makes that hour's summary again: what is shown is never older than the look.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from django.db import connection, transaction
from django.utils import timezone

from uploads.models import HourSummary, StaleHour, Status

HOUR = timedelta(hours=1)
#: Counted at each look; no summary is kept of them.
LIVE_HOURS = 2
#: Changes to younger uploads leave no mark: their hour is counted live for at least
#: another half hour, which is how long their transaction may take to commit.
UNMARKED_AGE = timedelta(minutes=30)
#: Of the lock that lets one summary be made at a time (PostgreSQL).
_LOCK = 0x6D697272  # "mirr"
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


def mark_changed(created_at: datetime) -> None:
    """Note that an upload of this time is not what it was; within its transaction."""
    if is_marked(created_at):
        StaleHour.objects.create(hour=floor_hour(created_at))


def is_marked(created_at: datetime) -> bool:
    """Tell whether changes to an upload of this time leave a mark."""
    return timezone.now() - created_at > UNMARKED_AGE


def hours_between(start: datetime, end: datetime) -> list[Hour]:
    """Return each hour from `start` to `end` (exclusive), both on the hour.

    Makes and keeps the summaries that are missing or stale.
    """
    live_from = floor_hour(timezone.now()) - (LIVE_HOURS - 1) * HOUR
    past = [at for at in _hours(start, end) if at < live_from]
    found = _kept(past)
    if len(found) < len(past) or StaleHour.objects.exists():
        found = _made_again(past)
    live = {at: Hour(at) for at in _hours(max(start, live_from), end)}
    for first, after in _runs(live):
        _count(live, first, after)
    found |= live
    return [found[at] for at in _hours(start, end)]


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


def _kept(hours: Sequence[datetime]) -> dict[datetime, Hour]:
    if not hours:
        return {}
    rows = HourSummary.objects.filter(hour__gte=hours[0], hour__lte=hours[-1])
    return {
        row.hour: Hour(
            row.hour,
            Counter(row.uploads),
            row.stored_bytes,
            Counter({int(bucket): n for bucket, n in row.latencies.items()}),
        )
        for row in rows
    }


def _made_again(past: Sequence[datetime]) -> dict[datetime, Hour]:
    """Return the summaries of past hours after making those that are not right."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # Else one who counted earlier could write after one who counted later.
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        marks = list(StaleHour.objects.values_list("id", "hour"))
        changed = {hour for _, hour in marks}
        kept = _kept(past)
        made = {at: Hour(at) for at in past if at not in kept or at in changed}
        for first, after in _runs(made):
            _count(made, first, after)
        _keep(made.values())
        # Changed hours outside the range are counted when somebody looks at them.
        HourSummary.objects.filter(hour__in=changed - made.keys()).delete()
        # Exactly the marks read before counting; others may have come meanwhile.
        for i in range(0, len(marks), 500):
            StaleHour.objects.filter(pk__in=[m for m, _ in marks[i : i + 500]]).delete()
    return kept | made


def _keep(hours: Iterable[Hour]) -> None:
    HourSummary.objects.bulk_create(
        [
            HourSummary(
                hour=hour.start,
                uploads=dict(hour.uploads),
                stored_bytes=hour.stored_bytes,
                latencies={str(k): n for k, n in sorted(hour.latencies.items())},
            )
            for hour in hours
        ],
        update_conflicts=True,
        unique_fields=["hour"],
        update_fields=["uploads", "stored_bytes", "latencies"],
    )


def _runs(hours: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    """Return neighbouring hours as ranges (start, end exclusive)."""
    ordered = sorted(hours)
    if not ordered:
        return []
    breaks = [i for i, (a, b) in enumerate(pairwise(ordered), 1) if b - a != HOUR]
    edges = [0, *breaks, len(ordered)]
    return [(ordered[a], ordered[b - 1] + HOUR) for a, b in pairwise(edges)]


_GROUPS = """
    SELECT {hour} AS hour, status, {bucket} AS bucket, COUNT(*), SUM(size)
    FROM uploads_upload WHERE created_at >= %s AND created_at < %s
    GROUP BY 1, 2, 3
"""
_DIALECTS = {
    "postgresql": {
        "hour": "date_trunc('hour', created_at, 'UTC')",
        "seconds": "extract(epoch FROM duration)::float8",
        "greatest": "greatest",
    },
    # Django keeps times as text in UTC and durations as microseconds.
    "sqlite": {
        "hour": "substr(created_at, 1, 13)",
        "seconds": "duration / 1e6",
        "greatest": "max",
    },
}


def _count(hours: dict[datetime, Hour], start: datetime, end: datetime) -> None:
    """Add what the table says of a range to `hours`."""
    dialect = _DIALECTS[connection.vendor]
    bucket = (
        "CASE WHEN status = 'stored' THEN cast(floor("
        f"ln({dialect['greatest']}({dialect['seconds']}, {BUCKET_FLOOR_SECONDS})"
        f" / {BUCKET_FLOOR_SECONDS}) / {math.log(BUCKET_GROWTH)}) AS integer) END"
    )
    statement = _GROUPS.format(hour=dialect["hour"], bucket=bucket)
    bounds = [
        connection.ops.adapt_datetimefield_value(start),
        connection.ops.adapt_datetimefield_value(end),
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, bounds)
        for at, status, latency, count, size in cursor.fetchall():
            if isinstance(at, str):
                at = datetime.strptime(at, "%Y-%m-%d %H").replace(tzinfo=UTC)
            hour = hours[at.astimezone(UTC)]
            hour.uploads[status] += count
            if status == Status.STORED:
                hour.stored_bytes += int(size)
            if latency is not None:
                hour.latencies[latency] += count
