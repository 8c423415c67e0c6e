"""Unfinished multipart uploads: there is no object, but the parts take up space."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from django.utils import timezone

from uploads.exceptions import StoreRefusedError
from uploads.reconciliation.classify import Finding, FindingKind, Options
from uploads.services import PREFIX
from uploads.storage import MultipartUpload, UploadStorage, upload_storage

logger = logging.getLogger(__name__)


def unfinished_multipart_uploads(options: Options) -> Iterator[Finding]:
    """Yield unfinished multipart uploads; discard the parts if `options.fix` is set.

    The `Upload` row is classified separately, as one without an object.
    """
    storage = upload_storage()
    for unfinished in _listed(storage):
        if timezone.now() - unfinished.initiated_at < options.min_age:
            continue
        finding = Finding(
            FindingKind.UNFINISHED,
            unfinished.key,
            # Programs depend on these names in the JSON output.
            evidence={
                "upload_in_parts": unfinished.upload_id,
                "begun": unfinished.initiated_at.isoformat(),
            },
        )
        if options.fix:
            storage.multipart.abort(unfinished.key, unfinished.upload_id)
            finding = replace(finding, outcome="repaired")
        yield finding


def _listed(storage: UploadStorage) -> Iterator[MultipartUpload]:
    try:
        yield from storage.multipart_uploads(PREFIX)
    except StoreRefusedError as error:
        # Listing them needs an IAM permission of its own, which may not be granted.
        logger.warning("multipart uploads cannot be listed: %s", error)
