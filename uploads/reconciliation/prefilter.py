"""Drops the pairs of the scan whose listed object and row agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from uploads.models import Status
from uploads.reconciliation.scan import Pair, Row
from uploads.storage import ListedObject, upload_storage


def suspicious_pairs(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the pairs that do not agree, and those that a listing cannot decide."""
    bucket = upload_storage().bucket_name
    return (pair for pair in pairs if not _agree(*pair, bucket))


def _agree(listed: ListedObject | None, row: Row | None, bucket: str) -> bool:
    if row is None or row.bucket != bucket:
        return False
    if listed is None:
        # Missing, as recorded.
        return row.status in {Status.FAILED, Status.MISSING, Status.PURGED}
    if row.status == Status.CORRUPTED:
        return True  # as recorded; verify_uploads checks whether it is intact again
    return (
        row.status == Status.STORED
        and listed.size == row.size
        and listed.etag == row.etag
    )
