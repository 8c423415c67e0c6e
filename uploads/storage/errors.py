"""Translates the errors of the object store and its clients into `StoreError`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointProviderError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError
from httptools import HttpParserError, HttpParserUpgrade

from uploads.exceptions import (
    BucketMissingError,
    ObjectExistsError,
    ObjectMissingError,
    StoreCredentialsError,
    StoreError,
    StoreFailedError,
    StoreRedirectError,
    StoreRefusedError,
    StoreUnavailableError,
)

logger = logging.getLogger(__name__)

#: Statuses below 500 that report a temporary failure. The request was certainly not
#: carried out: the store is too busy, or another conditional request for the same key is
#: in progress.
_TEMPORARY_STATUSES = frozenset({408, 409, 425, 429})
#: S3's error codes for an object that is archived, or encrypted with the key of a client.
#: Those of AWS KMS begin with "KMS.".
_UNREADABLE_CODES = frozenset({"InvalidObjectState", "InvalidRequest"})
#: AWS's error codes for a request to a bucket of another region.
_OTHER_REGION_CODES = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "TemporaryRedirect",
    }
)


@contextmanager
def store_errors() -> Iterator[None]:
    """Translate whatever a request, or reading its answer, raises into `StoreError`."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise store_error(error) from error


def store_error(error: Exception) -> StoreError:
    """Return the `StoreError` for an exception of a request, or of reading its answer."""
    name = type(error).__name__
    match error:
        case ClientError():
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = error.response.get("Error", {}).get("Code") or str(status)
            if code == "404" and not error.operation_name.startswith("Head"):
                # S3's own 404 has an error code. One without comes from a proxy, and does
                # not mean that the object is missing.
                return unreadable_answer("404 without an error code")
            return error_from_status(status, code)
        case (
            CredentialRetrievalError()
            | NoCredentialsError()
            | PartialCredentialsError()
        ):
            return credentials_error(error)
        case EndpointProviderError() | ParamValidationError():
            return StoreRefusedError(
                f"the request to the object store was not sent ({name})"
            )
        # The answer is not S3's (a proxy's login page, for example), or lacks a field.
        case KeyError():
            return unreadable_answer(f"no {error.args[0]}")
        case (
            HttpParserError()
            | HttpParserUpgrade()
            | ResponseParserError()
            | ValueError()
        ):
            return unreadable_answer(name)
    if not isinstance(error, BotoCoreError | OSError):
        logger.error("unexpected error of the store's client", exc_info=error)
    return StoreUnavailableError(
        f"the object store did not answer ({name})", outcome_unknown=True
    )


def is_unreadable_object(error: StoreRefusedError) -> bool:
    """Return True if the object is archived, or encrypted with another key.

    Unlike other refusals, this one says nothing about other objects.
    """
    return error.code in _UNREADABLE_CODES or error.code.startswith("KMS.")


def unreadable_answer(why: str) -> StoreFailedError:
    """Return the error for an answer that is not S3's: the outcome is unknown."""
    return StoreFailedError(
        f"the object store's answer cannot be read ({why})", outcome_unknown=True
    )


def credentials_error(error: Exception) -> StoreCredentialsError:
    """Return the error of a request that was not sent for lack of credentials."""
    return StoreCredentialsError(
        f"credentials for the object store are unavailable ({type(error).__name__})"
    )


def error_from_status(status: int, code: str, region: str = "") -> StoreError:
    """Return the error for an answer of the store, by HTTP status and S3 error code.

    `region` is the bucket's region, if the store reports it. An answer to HEAD has no
    body; `code` is then the status.
    """
    answer = str(status) if code == str(status) else f"{status} {code}"
    message = f"the object store answered {answer}"
    if status == 412:
        return ObjectExistsError(message)
    if status == 404 and code == "NoSuchBucket":
        return BucketMissingError(message)
    if status == 404 and code in {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}:
        return ObjectMissingError(message)
    if 300 <= status < 400 or code in _OTHER_REGION_CODES:
        where = f"; the bucket is in {region}" if region else ""
        return StoreRedirectError(
            f"{message}{where}: AWS_DEFAULT_REGION or AWS_ENDPOINT_URL_S3 is wrong"
        )
    is_refusal = 400 <= status < 500 or status == 501  # not implemented
    if is_refusal and status not in _TEMPORARY_STATUSES:
        return StoreRefusedError(message, code)
    # A proxy's 503 has no code of S3, and may follow a request that it has forwarded.
    is_too_busy = status in _TEMPORARY_STATUSES or (status == 503 and code != "503")
    # A server error, or an answer of a proxy, such as 204: S3 may have done its work.
    return StoreFailedError(message, outcome_unknown=not is_too_busy)
