"""Which pairs of the walk need a closer look: what listing, row and checksum tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from uploads.exceptions import ObjectMissingError
from uploads.models import Status, Upload
from uploads.reconciliation import scan
from uploads.reconciliation.findings import Plan
from uploads.reconciliation.scan import Pair, Row
from uploads.storage import ListedObject, upload_storage


def suspicious(plan: Plan, pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the pairs that need a closer look."""
    bucket = upload_storage().bucket_name
    if not plan.checksums:
        yield from (pair for pair in pairs if not _agree(*pair, bucket))
        return
    pairs = iter(pairs)
    with ThreadPoolExecutor(plan.jobs) as pool:
        while window := list(islice(pairs, scan.PAGE)):
            digests = pool.map(lambda pair: _digest(pair[0], pair[1], bucket), window)
            stored = dict(
                Upload.objects.filter(
                    key__in=[row.key for _, row in window if row is not None]
                ).values_list("key", "sha256")
            )
            for (listed, row), digest in zip(window, digests, strict=True):
                if not (
                    _agree(listed, row, bucket)
                    and (digest is None or row is None or digest == stored[row.key])
                ):
                    yield listed, row


def _digest(listed: ListedObject | None, row: Row | None, bucket: str) -> str | None:
    """Return the SHA-256 the store tells of an object that should be as recorded.

    None when it tells none: what the metadata says could be copied along.
    """
    if listed is None or row is None:
        return None
    if row.status != Status.STORED or row.bucket != bucket:
        return None
    try:
        found = upload_storage().head(listed.key)
    except ObjectMissingError:
        return ""
    return found.sha256 if found.sha256_source == "store" else None


def _agree(listed: ListedObject | None, row: Row | None, bucket: str) -> bool:
    if row is None or row.bucket != bucket:
        return False
    if listed is None:
        # Not there, and not said to be.
        return row.status in {Status.FAILED, Status.MISSING, Status.PURGED}
    if row.status == Status.CORRUPTED:
        return True  # as recorded: verify_uploads looks whether it is whole again
    return (
        row.status == Status.STORED
        and listed.size == row.size
        and listed.etag == row.etag
    )
