"""What can be wrong with uploading and with what was uploaded. No Django here."""

from __future__ import annotations

from mirrorsite.problem_types import ProblemType

UPLOADS: tuple[ProblemType, ...] = (
    # --- Uploading -------------------------------------------------------------
    ProblemType(
        "store-refused",
        502,
        "Object store refused",
        "The object store said no. upload_status, where it is given, says what the"
        " upload is recorded as; else nothing was recorded.",
        "Tell the operators the upload's id; trying again will hardly help.",
    ),
    ProblemType(
        "store-busy",
        503,
        "Too many wait for the store",
        "As many requests wait for the object store as may. This one was not begun,"
        " and nothing is recorded of it.",
        "Try again as late as Retry-After says.",
    ),
    ProblemType(
        "store-unavailable",
        503,
        "Object store away",
        "The object store did not answer. upload_status, where it is given, says"
        " whether the upload is recorded as failed, or as pending because it may have"
        " happened; else nothing was recorded.",
        "Try again as late as Retry-After says; a pending upload is settled later.",
    ),
    ProblemType(
        "trail-unavailable",
        503,
        "Record not possible",
        "The database did not take the record: nothing was uploaded, or, where"
        " upload_id is given, that upload stays pending until it is settled.",
        "Try again as late as Retry-After says.",
    ),
    ProblemType(
        "invalid-idempotency-key",
        400,
        "Invalid Idempotency-Key",
        "The Idempotency-Key is empty, too long, not printable ASCII, or given twice.",
        "Send one of 1 to 255 printable ASCII characters; with a comma, in quotes.",
    ),
    ProblemType(
        "idempotency-key-in-use",
        409,
        "Still being worked on",
        "A request with this Idempotency-Key is being worked on.",
        "Send the same again after Retry-After seconds.",
    ),
    ProblemType(
        "idempotency-key-reused",
        422,
        "Idempotency-Key of another body",
        "This Idempotency-Key came with another body before.",
        "Use a new key for a new request.",
    ),
    ProblemType(
        "upload-not-found",
        404,
        "No such upload",
        "There is no upload with this id.",
        "Check the id; GET /api/uploads lists them.",
    ),
    ProblemType(
        "upload-not-stored",
        409,
        "Nothing stored",
        "The upload failed, or it is not known yet to be stored: no content.",
        "Look at its upload_status; a pending upload is settled later.",
    ),
    ProblemType(
        "upload-not-verifiable",
        409,
        "Nothing to verify",
        "The upload is pending, failed or purged, or its state changed just now.",
        "Look at its upload_status.",
    ),
    ProblemType(
        "object-missing",
        404,
        "Object missing",
        "The record says stored, and the object is no longer in the bucket.",
        "Tell the operators: somebody removed it outside this service.",
    ),
    ProblemType(
        "object-corrupted",
        409,
        "Object corrupted",
        "The bucket holds something else than what was uploaded.",
        "Tell the operators: somebody changed it outside this service.",
    ),
    ProblemType(
        "upload-purged",
        410,
        "Object purged",
        "The object was deleted on purpose; its record stays.",
        "Nothing: it will not come back.",
    ),
)
