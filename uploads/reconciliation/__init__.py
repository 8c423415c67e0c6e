"""Bucket and record side by side: where they disagree, and how to settle it.

Both are walked in key order, a page of each in memory at a time. The order makes the
walk cheap and proves nothing: whatever does not pair off is looked up by its own key,
the object with HEAD and the row with a query, before anything is said about it. So a
store that lists in another order (see `UploadStorage.listing`), a page read a moment
too early or an upload finishing meanwhile costs a question, never a wrong finding.

`findings` are the words for it, `walking` pairs both sides off, `comparing` passes on
what does not agree, `judging` says what is wrong, `settling` repairs it; `unfinished`
are the uploads in parts that nobody ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from uploads.reconciliation import classify, repair
from uploads.reconciliation.findings import Finding, Plan, Word
from uploads.reconciliation.multipart import left_in_parts
from uploads.reconciliation.prefilter import suspicious
from uploads.reconciliation.scan import Pair, side_by_side

__all__ = ["Finding", "Pair", "Plan", "Word", "reconcile", "side_by_side"]


def reconcile(plan: Plan, pairs: Iterable[Pair] | None = None) -> Iterator[Finding]:
    """Yield the disagreements under `uploads/`, repaired where the plan says so.

    Raises `StoreError`, `TrailUnavailableError` or `django.db.Error` when a side
    cannot be read; what was yielded until then stands.
    """
    for listed, row in suspicious(plan, side_by_side() if pairs is None else pairs):
        finding = classify.judge(plan, listed, row)
        if finding is not None:
            yield repair.settle(plan, finding) if plan.fix else finding
    yield from left_in_parts(plan)
