"""Uploads in parts that were begun and left: no object, but parts that take room."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from django.utils import timezone

from uploads.exceptions import StoreRefusedError
from uploads.reconciliation.findings import Finding, Plan, Word
from uploads.services import PREFIX
from uploads.storage import upload_storage

logger = logging.getLogger(__name__)


def left_in_parts(plan: Plan) -> Iterator[Finding]:
    """Yield what was begun in parts, and throw those parts away where the plan says so.

    The upload's own record is judged with its key: that no object came of it.
    """
    storage = upload_storage()
    left = storage.unfinished(PREFIX)
    while True:
        try:
            unfinished = next(left, None)
        except StoreRefusedError as error:
            # A right of its own in IAM, which a bucket's owner may not have given.
            logger.warning("uploads in parts cannot be listed: %s", error)
            return
        if unfinished is None:
            return
        if timezone.now() - unfinished.begun < plan.min_age:
            continue
        finding = Finding(
            word=Word.UNFINISHED,
            key=unfinished.key,
            upload_id=None,
            action=None,
            seen={
                "upload_in_parts": unfinished.upload_id,
                "begun": unfinished.begun.isoformat(),
            },
        )
        if plan.fix:
            storage.abort_unfinished(unfinished)
            finding = replace(finding, outcome="repaired")
        yield finding
