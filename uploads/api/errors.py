"""Errors of this app as problems of the API."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from mirrorsite.problems import RETRY_AFTER_SECONDS, Problem
from uploads.exceptions import (
    KeyReusedError,
    StillRunningError,
    StoreBusyError,
    StoreError,
    StoreUnavailableError,
    TrailUnavailableError,
    UploadFailedError,
)
from uploads.models import Status


@contextmanager
def upload_problems() -> Iterator[None]:
    """Raise what keeps an upload from being created as a `Problem`."""
    try:
        yield
    except StoreBusyError as error:
        raise busy_problem() from error
    except UploadFailedError as error:
        raise failure_problem(error) from error
    except TrailUnavailableError as error:
        raise trail_problem(error) from error
    except (KeyReusedError, StillRunningError) as error:
        raise key_problem(error) from error


def failure_problem(error: UploadFailedError) -> Problem:
    """Return the problem of an upload that is recorded and did not succeed."""
    upload = error.upload
    state = {"upload_id": str(upload.pk), "upload_status": upload.status}
    if isinstance(error.__cause__, StoreUnavailableError):
        return Problem(
            503,
            "store-unavailable",
            f"The object store is unavailable; the upload is recorded as {upload.status}.",
            retry_after=RETRY_AFTER_SECONDS,
            **state,
        )
    return Problem(
        502,
        "store-refused",
        f"The object store refused the upload; it is recorded as {upload.status}.",
        **state,
    )


def key_problem(error: KeyReusedError | StillRunningError) -> Problem:
    """Return the problem of an Idempotency-Key that cannot be served now, or ever."""
    if isinstance(error, KeyReusedError):
        return Problem(
            422,
            "idempotency-key-reused",
            "This Idempotency-Key came with another body before; a new request needs"
            " a new key.",
            upload_id=str(error.upload.pk),
        )
    return Problem(
        409,
        "idempotency-key-in-use",
        "A request with this Idempotency-Key is being worked on; ask again later.",
        retry_after=min(RETRY_AFTER_SECONDS, math.ceil(error.seconds)),
    )


def store_problem(error: StoreError) -> Problem:
    """Return the problem of a question the store did not answer; nothing changed."""
    if isinstance(error, StoreUnavailableError):
        return Problem(
            503,
            "store-unavailable",
            "The object store is unavailable; nothing was recorded.",
            retry_after=RETRY_AFTER_SECONDS,
        )
    return Problem(
        502, "store-refused", "The object store refused; nothing was recorded."
    )


def busy_problem() -> Problem:
    """Return the problem of a request that was not begun, for too many are waiting."""
    return Problem(
        503,
        "store-busy",
        "Too many requests are waiting for the object store; nothing was recorded.",
        retry_after=RETRY_AFTER_SECONDS,
    )


def trail_problem(error: TrailUnavailableError) -> Problem:
    """Return the problem of a record that could not be written."""
    if error.upload_id is None:
        detail = "The database is unavailable, so nothing was recorded or uploaded."
        state = {}
    else:
        detail = "The database went away; the upload's record is pending."
        state = {"upload_id": str(error.upload_id), "upload_status": Status.PENDING}
    return Problem(
        503, "trail-unavailable", detail, retry_after=RETRY_AFTER_SECONDS, **state
    )
