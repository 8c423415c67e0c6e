"""What the object store answers, in the terms of this app."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
)

from uploads.exceptions import (
    BucketMissingError,
    ObjectExistsError,
    ObjectMissingError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
)

T = TypeVar("T")

#: Answers that mean "not now" rather than "no".
_PASSING_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
#: Of those, the ones given before the request was carried out: too busy, conflict
#: with another conditional request on the same key.
_NOT_CARRIED_OUT = frozenset({408, 409, 425, 429, 503})


def translated(request: Callable[[], T]) -> T:
    """Carry out a request, with botocore's errors as ours."""
    try:
        return request()
    except ClientError as error:
        raise _from_answer(error) from error
    except (NoCredentialsError, ParamValidationError) as error:
        raise StoreRefusedError(f"not sent: {type(error).__name__}") from error
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise StoreUnavailableError(
            f"the object store cannot be reached ({type(error).__name__})",
            outcome_unknown=False,
        ) from error
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise StoreUnavailableError(
            f"the object store did not answer ({type(error).__name__})",
            outcome_unknown=True,
        ) from error


def _from_answer(error: ClientError) -> StoreError:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return judged(status, error.response.get("Error", {}).get("Code", "unknown"))


def judged(status: int, code: str) -> StoreError:
    """Return the error that an answer of the store is, by HTTP status and S3's code."""
    message = f"the object store answered {status} {code}"
    if status == 412:
        return ObjectExistsError(message)
    if status == 404 and code == "NoSuchBucket":
        return BucketMissingError(message)
    if status == 404 and code in {"404", "NoSuchKey", "NotFound"}:
        return ObjectMissingError(message)
    if status in _PASSING_STATUSES:
        return StoreUnavailableError(
            message, outcome_unknown=status not in _NOT_CARRIED_OUT
        )
    return StoreRefusedError(message)


def error_code(error: StoreError) -> str:
    """Return S3's code for an answer that became an error of ours."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return ""
    code: str = cause.response.get("Error", {}).get("Code", "")
    return code
