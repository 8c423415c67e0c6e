"""Declares the problem types of uploads when imported. Does not use Django."""

from __future__ import annotations

from mirrorsite.problem_types import declare

declare(
    {
        400: {
            "invalid-idempotency-key": (
                "Invalid Idempotency-Key",
                "The Idempotency-Key is empty, too long, not printable ASCII, or"
                " given twice.",
                "Send one of 1 to 255 printable ASCII characters, in double quotes if it"
                " has a comma.",
            ),
        },
        404: {
            "upload-not-found": (
                "No such upload",
                "There is no upload with this id.",
                "Check the id; GET /api/uploads lists them.",
            ),
            "object-missing": (
                "Object missing",
                "The upload was stored, but the object is no longer in the bucket.",
                "Tell the operators: it was removed outside this service.",
            ),
        },
        409: {
            "idempotency-key-in-use": (
                "Idempotency-Key in use",
                "Another request with this Idempotency-Key is being processed.",
                "Send the same request again after the number of seconds in"
                " Retry-After.",
            ),
            "upload-not-stored": (
                "Upload not stored",
                "The upload failed, or it is not known yet whether its object was stored.",
                "See upload_status; reconciliation resolves pending uploads.",
            ),
            "upload-not-verifiable": (
                "Upload not verifiable",
                "The upload is pending, failed or purged, or its status has just"
                " changed.",
                "See upload_status.",
            ),
            "object-corrupted": (
                "Object corrupted",
                "The object in the bucket differs from what was uploaded.",
                "Tell the operators: it was changed outside this service.",
            ),
        },
        410: {
            "upload-purged": (
                "Object purged",
                "The object was deleted on purpose; its record stays.",
                "None: it cannot be restored.",
            ),
        },
        422: {
            "idempotency-key-reused": (
                "Idempotency-Key reused",
                "This Idempotency-Key was used before with another body.",
                "Use a new key for a new request.",
            ),
        },
        502: {
            "store-refused": (
                "Object store refused",
                "The object store refused the request, or the object is in a bucket"
                " that is not configured. upload_status, if present, is the recorded"
                " status; otherwise nothing was recorded.",
                "Report the upload's id to the operators; a retry is unlikely to help.",
            ),
        },
        503: {
            "store-busy": (
                "Object store busy",
                "Too many requests are waiting for the object store. This one was"
                " not started, and nothing was recorded.",
                "Retry after the number of seconds in Retry-After.",
            ),
            "store-unavailable": (
                "Object store unavailable",
                "The object store did not answer, or answered with a failure."
                " upload_status, if present, is the recorded status: failed, or"
                " pending if the object may have been stored; otherwise nothing was"
                " recorded.",
                "Retry after the number of seconds in Retry-After; reconciliation"
                " resolves pending uploads.",
            ),
            "trail-unavailable": (
                "Audit trail unavailable",
                "The database did not accept the record. If upload_id is present,"
                " that upload is pending until reconciliation resolves it; otherwise"
                " nothing was uploaded.",
                "Retry after the number of seconds in Retry-After.",
            ),
        },
    }
)
