"""Finds differences between the bucket and the records, and repairs them.

Both are read in key order, a page of each in memory at a time. A difference between the
two is not yet a finding: the object is requested again with HEAD, and its row queried.
So a store that lists in another order (see `UploadStorage.listing`), an outdated page,
or an upload that finishes during the scan costs a further request, but never causes a
wrong finding.

`scan` pairs objects and rows, `classify` decides what is wrong, `repair` writes the
event that resolves it; `multipart` finds unfinished multipart uploads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from uploads.reconciliation import classify, repair
from uploads.reconciliation.classify import Finding, FindingKind, Options
from uploads.reconciliation.multipart import unfinished_multipart_uploads
from uploads.reconciliation.scan import Pair, agree, scan_pairs
from uploads.storage import upload_storage

__all__ = ["Finding", "FindingKind", "Options", "Pair", "reconcile", "scan_pairs"]


def reconcile(options: Options, pairs: Iterable[Pair]) -> Iterator[Finding]:
    """Yield the findings under `uploads/`, and repair them if `options.fix` is set.

    `pairs` are those of `scan_pairs`.

    Raises `StoreError`, `TrailUnavailableError` or `django.db.Error` if the bucket or
    the database is unavailable; findings and repairs made before remain valid.
    """
    bucket = upload_storage().bucket_name
    for listed, row in pairs:
        if agree(listed, row, bucket):
            continue
        key = next(side.key for side in (listed, row) if side)
        finding = classify.classify(options, key, listed)
        if finding is not None:
            yield repair.repair(options, finding) if options.fix else finding
    yield from unfinished_multipart_uploads(options)
