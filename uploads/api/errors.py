"""Translates the errors of this app into problems of the API."""

from __future__ import annotations

import math

from rest_framework.response import Response
from rest_framework.views import APIView

from mirrorsite.problem_types import PROBLEM_TYPES
from mirrorsite.problems import RETRY_AFTER_SECONDS, Problem, unavailable
from uploads.exceptions import (
    ContentUnavailableError,
    KeyReusedError,
    StillRunningError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
    TrailUnavailableError,
    UploadFailedError,
)
from uploads.models import Status

_NO_CONTENT: dict[Status, tuple[str, str]] = {
    Status.PENDING: ("upload-not-stored", "It is not yet known to be stored."),
    Status.FAILED: ("upload-not-stored", "The upload failed."),
    Status.CORRUPTED: (
        "object-corrupted",
        "The object in the bucket differs from what was uploaded.",
    ),
    Status.MISSING: ("object-missing", "The object is no longer in the bucket."),
    Status.PURGED: ("upload-purged", "The object was deleted on purpose."),
}


class UploadProblems(APIView):
    """Mixin for views: answers the errors of this app with problems."""

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(problem_of(exc) or exc)


def problem_of(error: Exception) -> Problem | None:
    """Return the problem for an error of this app; None for any other error."""
    match error:
        case UploadFailedError():
            return _upload_failed(error)
        case StoreBusyError():
            return unavailable(
                "store-busy",
                "Too many requests are waiting for the object store; nothing was"
                " recorded.",
            )
        case StoreUnavailableError():
            return unavailable(
                "store-unavailable",
                "The object store is unavailable; nothing was recorded.",
            )
        case StoreError():
            return Problem(
                502, "store-refused", "The object store refused; nothing was recorded."
            )
        case TrailUnavailableError(upload_id=None):
            return unavailable(
                "trail-unavailable",
                "The database is unavailable, so nothing was uploaded.",
            )
        case TrailUnavailableError():
            return unavailable(
                "trail-unavailable",
                "The database became unavailable; the upload's record is pending.",
                upload_id=str(error.upload_id),
                upload_status=Status.PENDING,
            )
        case KeyReusedError():
            return Problem(
                422,
                "idempotency-key-reused",
                "This Idempotency-Key came with another body before; a new request"
                " needs a new key.",
                upload_id=str(error.upload.pk),
            )
        case StillRunningError():
            return Problem(
                409,
                "idempotency-key-in-use",
                "A request with this Idempotency-Key is being processed; try again"
                " later.",
                retry_after=min(RETRY_AFTER_SECONDS, math.ceil(error.seconds)),
            )
        case ContentUnavailableError():
            slug, detail = _NO_CONTENT[error.status]
            status = PROBLEM_TYPES[slug].status
            return Problem(status, slug, detail, upload_status=error.status)
    return None


def _upload_failed(error: UploadFailedError) -> Problem:
    upload = error.upload
    recorded = {"upload_id": str(upload.pk), "upload_status": upload.status}
    if isinstance(error.__cause__, StoreUnavailableError):
        return unavailable(
            "store-unavailable",
            "The object store is unavailable; the upload is recorded as"
            f" {upload.status}.",
            **recorded,
        )
    if isinstance(error.__cause__, StoreError):
        detail = "The object store refused the upload"
    else:
        detail = f"The upload did not succeed: {error}"
    return Problem(
        502,
        "store-refused",
        f"{detail}; it is recorded as {upload.status}.",
        **recorded,
    )
