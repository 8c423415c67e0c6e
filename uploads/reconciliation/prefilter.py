"""Which pairs of the scan need a closer look, by listing, row and checksum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from uploads.exceptions import ObjectMissingError
from uploads.models import Status, Upload
from uploads.reconciliation import scan
from uploads.reconciliation.findings import Options
from uploads.reconciliation.scan import Pair, Row
from uploads.storage import ListedObject, upload_storage


def suspicious_pairs(options: Options, pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the pairs that need a closer look."""
    bucket = upload_storage().bucket_name
    if not options.checksums:
        yield from (pair for pair in pairs if not _agree(*pair, bucket))
        return
    pairs = iter(pairs)
    with ThreadPoolExecutor(options.jobs) as pool:
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
    """Return the store's SHA-256 of an object that should be as recorded.

    None if it has none: metadata proves nothing, since a copy can carry it.
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
        # Missing, as recorded.
        return row.status in {Status.FAILED, Status.MISSING, Status.PURGED}
    if row.status == Status.CORRUPTED:
        return True  # as recorded; verify_uploads checks whether it is intact again
    return (
        row.status == Status.STORED
        and listed.size == row.size
        and listed.etag == row.etag
    )
