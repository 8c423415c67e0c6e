"""Translates the errors of this app into problems of the API."""

from __future__ import annotations

import logging
import math
from typing import Any

from django.http import HttpResponse

from mirrorsite import problems
from mirrorsite.problems import RETRY_AFTER_SECONDS, Problem
from uploads.exceptions import (
    KeyReusedError,
    OtherBucketError,
    StillRunningError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
    TrailUnavailableError,
    UploadFailedError,
)
from uploads.models import Status

logger = logging.getLogger(__name__)

_CONTENT_PROBLEMS: dict[Status, tuple[str, str]] = {
    Status.PENDING: (
        "upload-not-stored",
        "The upload is pending: it is not known yet whether its object was stored.",
    ),
    Status.FAILED: ("upload-not-stored", "The upload failed."),
    Status.CORRUPTED: (
        "object-corrupted",
        "The object in the bucket differs from what was uploaded.",
    ),
    Status.MISSING: ("object-missing", "The object is no longer in the bucket."),
    Status.PURGED: ("upload-purged", "The object was deleted on purpose."),
}


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler, which also answers the errors of this app."""
    return problems.exception_handler(problem_of(error) or error, context)


def problem_of(error: Exception) -> Problem | None:
    """Return the problem for an error of this app; None for any other error."""
    match error:
        case UploadFailedError():
            status = error.upload.status
            return _store_problem(
                error.__cause__ or error,
                f"the upload is recorded as {status}.",
                upload_id=str(error.upload.pk),
                upload_status=status,
            )
        case StoreBusyError():
            return Problem(
                "store-busy",
                "Too many requests are waiting for the object store; nothing was"
                " recorded.",
            )
        case StoreError():
            logger.warning("%s", error)
            return _store_problem(error, "nothing was recorded.")
        case TrailUnavailableError(upload_id=None):
            logger.error("%s", error, exc_info=error)
            return Problem(
                "trail-unavailable",
                "The database is unavailable, so the request failed.",
            )
        case TrailUnavailableError():
            return Problem(
                "trail-unavailable",
                "The database became unavailable; the upload's record is pending.",
                upload_id=str(error.upload_id),
                upload_status=Status.PENDING,
            )
        case KeyReusedError():
            return Problem(
                "idempotency-key-reused",
                "This Idempotency-Key was used before with another body; use a new key"
                " for a new request.",
                upload_id=str(error.upload.pk),
            )
        case StillRunningError():
            return Problem(
                "idempotency-key-in-use",
                "A request with this Idempotency-Key is being processed; try again"
                " later.",
                retry_after=min(RETRY_AFTER_SECONDS, math.ceil(error.seconds)),
            )
    return None


def _store_problem(error: BaseException, recorded: str, **extensions: Any) -> Problem:
    """Return the problem for a request to the store; `recorded` ends its detail."""
    slug = "store-refused"
    match error:
        case StoreUnavailableError():
            slug, detail = "store-unavailable", "The object store is unavailable"
        case OtherBucketError():
            detail = "The object is in a bucket other than the configured one"
        case StoreError():
            detail = "The object store refused the request"
        case _:
            detail = f"The upload did not succeed: {error}"
    return Problem(slug, f"{detail}; {recorded}", **extensions)


def content_problem(status: Status) -> Problem:
    """Return the problem for the content of an upload that is not stored."""
    slug, detail = _CONTENT_PROBLEMS[status]
    return Problem(slug, detail, upload_status=status)
