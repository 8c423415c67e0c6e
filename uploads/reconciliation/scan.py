"""Scans the bucket and the table side by side, in the order of their keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from uploads.exceptions import ObjectMissingError
from uploads.models import Action, Status, Upload, UploadEvent
from uploads.paging import pages
from uploads.retention import MAX_JOBS
from uploads.services import PREFIX, day_prefix
from uploads.storage import ListedObject, upload_storage

#: Rows read at a time; S3 lists as many keys.
PAGE = 1000
#: How many of the last purged uploads a scan with `since` includes; each takes a request.
#: An interrupted run of purge_uploads can leave up to `MAX_JOBS` objects, and so can the
#: run after it.
LAST_PURGES = 2 * MAX_JOBS


class Row(NamedTuple):
    """The columns of an upload that the scan reads."""

    key: str
    id: UUID
    status: str
    size: int
    etag: str
    bucket: str


Pair = tuple[ListedObject | None, Row | None]


def agree(listed: ListedObject | None, row: Row | None, bucket: str) -> bool:
    """Return True if the listing and the row show that nothing is wrong."""
    if row is None or row.bucket != bucket:
        return False
    if listed is None:
        # Missing, as recorded.
        return row.status in {Status.FAILED, Status.MISSING, Status.PURGED}
    if row.status == Status.CORRUPTED:
        return True  # as recorded; verify_uploads checks whether it is intact again
    as_listed = (Status.STORED, listed.size, listed.etag)
    return (row.status, row.size, row.etag) == as_listed


def scan_pairs(since: datetime | None = None) -> Iterator[Pair]:
    """Yield each key of bucket and table with its object and its row.

    If the store does not list keys in the order of their UTF-8 bytes, a key can come
    twice: once with its object only, once with its row only.

    With `since`, only the keys of that day and later, and the older uploads that are
    pending or among the last purges: all that a recent crash or outage can have left
    behind. Keys begin with their day, so only that range is read.
    """
    if since is None:
        objects = upload_storage().listing(PREFIX)
        rows = recorded_rows(Upload.objects.all())
    else:
        first = day_prefix(since.astimezone(UTC))
        older = Upload.objects.filter(key__lt=first)
        pending = older.filter(status=Status.PENDING)
        yield from map(_with_its_object, recorded_rows(pending))
        purges = UploadEvent.objects.filter(action=Action.PURGED).order_by("-at", "-id")
        last = list(purges.values_list("upload", flat=True)[:LAST_PURGES])
        purged = older.filter(status=Status.PURGED, pk__in=last)
        yield from map(_with_its_object, recorded_rows(purged))
        objects = upload_storage().listing(PREFIX, start_after=first)
        rows = recorded_rows(Upload.objects.filter(key__gt=first))
    listed = next(objects, None)
    row = next(rows, None)
    while listed is not None or row is not None:
        # Python compares code points, whose order is that of UTF-8 bytes.
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
    """Pair a row with its object by a HEAD request instead of the listing."""
    try:
        found = upload_storage().head(row.key)
    except ObjectMissingError:
        return None, row
    listed = ListedObject(
        key=row.key,
        size=found.size,
        etag=found.etag,
        # An object of unknown age is treated as new.
        last_modified=found.last_modified or timezone.now(),
    )
    return listed, row


def recorded_rows(uploads: QuerySet[Upload]) -> Iterator[Row]:
    """Yield the uploads in the order of their keys, one query for each page."""
    rows: Any = uploads.values_list(*Row._fields, named=True)
    for page in pages(rows, PAGE, by="key"):
        yield from page
