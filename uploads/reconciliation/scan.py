"""The walk through bucket and table side by side, in the order of their keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import models
from django.utils import timezone

from uploads.exceptions import ObjectMissingError
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.retention import MOST_JOBS
from uploads.services import PREFIX
from uploads.storage import ListedObject, upload_storage

#: Rows read at a time; S3 lists as many keys.
PAGE = 1000
#: How many of the last purges are looked at where only recent days are: a purge that is
#: interrupted leaves its last objects, and so may the next. Each costs the store a
#: question.
LAST_PURGES = 2 * MOST_JOBS


class Row(NamedTuple):
    """What the walk needs of an upload."""

    key: str
    id: UUID
    status: str
    size: int
    etag: str
    bucket: str


Pair = tuple[ListedObject | None, Row | None]


def side_by_side(since: datetime | None = None) -> Iterator[Pair]:
    """Yield each key of bucket and table once, with what either says of it.

    With `since`, the keys of that day and later, and of the older uploads those that
    are pending or were purged last: what a crash or an outage of these days can have
    left behind. Keys begin with the day, so either side is asked for no more than that.
    """
    if since is None:
        objects, rows = upload_storage().listing(PREFIX), recorded()
    else:
        first = _of_day(since.astimezone(UTC).date())
        before = Upload.objects.filter(key__lt=first)
        pending = before.filter(status=Status.PENDING)
        yield from map(_with_its_object, recorded(pending))
        purges = UploadEvent.objects.filter(action=Action.PURGED).order_by("-at", "-id")
        last = list(purges.values_list("upload", flat=True)[:LAST_PURGES])
        purged = before.filter(status=Status.PURGED, pk__in=last)
        yield from map(_with_its_object, recorded(purged))
        objects, rows = _listed_since(since), recorded(after=first)
    listed = next(objects, None)
    row = next(rows, None)
    while listed is not None or row is not None:
        # Code points compare as UTF-8 bytes do.
        if row is None or (listed is not None and listed.key < row.key):
            yield listed, None
            listed = next(objects, None)
        elif listed is None or row.key < listed.key:
            yield None, row
            row = next(rows, None)
        else:
            yield listed, row
            listed, row = next(objects, None), next(rows, None)


def _with_its_object(row: Row) -> Pair:
    """Pair a row off with what lies under its own key, of whatever day that is.

    A HEAD, which costs a twelfth of a listing.
    """
    try:
        found = upload_storage().head(row.key)
    except ObjectMissingError:
        return None, row
    listed = ListedObject(
        key=row.key,
        size=found.size,
        etag=found.etag,
        last_modified=found.last_modified or timezone.now(),
    )
    return listed, row


def _listed_since(since: datetime) -> Iterator[ListedObject]:
    """Yield the objects day by day; of tomorrow too, for a clock that is ahead."""
    today = timezone.now().date()
    day = since.astimezone(UTC).date()
    years: set[str] = set()
    if day.year < today.year:
        years = set(upload_storage().folders(PREFIX))
    while day <= today + timedelta(days=1):
        if day.year < today.year and f"{PREFIX}{day.year:04}/" not in years:
            # As from the year 1 to the service's first: not a question for each day.
            day = date(day.year + 1, 1, 1)
            continue
        yield from upload_storage().listing(_of_day(day))
        day += timedelta(days=1)


def _of_day(day: date) -> str:
    """Return how the keys of a day begin."""
    # %Y has fewer than four digits before the year 1000, which sorts elsewhere.
    return f"{PREFIX}{day.isoformat().replace('-', '/')}/"


def recorded(
    uploads: models.QuerySet[Upload] | None = None, *, after: str = ""
) -> Iterator[Row]:
    """Yield the uploads in the order of their keys, without a long-lived cursor."""
    uploads = Upload.objects.all() if uploads is None else uploads
    while True:
        page = list(
            uploads.filter(key__gt=after)
            .order_by("key")
            .values_list("key", "id", "status", "size", "etag", "bucket")[:PAGE]
        )
        yield from map(Row._make, page)
        if len(page) < PAGE:
            return
        after = page[-1][0]
