"""Errors as `application/problem+json` (RFC 9457), from every layer of the API.

Views raise `Problem`. All other errors (Django's, the database's, bugs) become one of
the declared types: in DRF's exception handler here and, outside of DRF's views, in
`mirrorsite.middleware`. No answer contains internal details.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from django.utils.encoding import escape_uri_path
from rest_framework import exceptions

from mirrorsite.database import is_unavailable
from mirrorsite.problem_types import PROBLEM_TYPES

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
#: Retry-After of a 503 without one of its own.
RETRY_AFTER_SECONDS = 5


class Problem(exceptions.APIException):
    """An error with its own problem type; raise it from any API view.

    `slug` names the type (declared in `problem_types`), `detail` states what was wrong
    and what is allowed, and `extensions` are further members of the body. `retry_after`
    is in seconds.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        retry_after: int | None = None,
        **extensions: object,
    ) -> None:
        super().__init__(detail, slug)
        self.status_code = PROBLEM_TYPES[slug].status
        if retry_after is None and self.status_code == 503:
            retry_after = RETRY_AFTER_SECONDS
        self.retry_after = retry_after
        self.slug = slug
        self.extensions = extensions


class InvalidRequest(Problem):
    """A 400 that names the invalid field of the request."""

    def __init__(self, field: str, slug: str, detail: str) -> None:
        super().__init__(
            slug, detail, errors=[{"field": field, "code": slug, "detail": detail}]
        )


def problem_body(
    path: str, request_id: str, slug: str, detail: str, **extensions: Any
) -> dict[str, Any]:
    """Return the members of a problem (RFC 9457); `path` is percent-encoded."""
    kind = PROBLEM_TYPES[slug]
    return {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        # A URI reference (RFC 3986), without the query, which may hold private data.
        "instance": path,
        "request_id": request_id,
        **extensions,
    }


def problem_response(request: HttpRequest, problem: Problem) -> HttpResponse:
    # Caches could keep a 404, 405 or 501 otherwise (RFC 9110, section 15.1).
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    request_id = str(request.META.get("mirrorsite.request_id", ""))
    # Preferably the path as sent, which only the server knows. In Django's decoded path, the
    # byte FF and the text %FF look the same.
    path = request.META.get("mirrorsite.path") or escape_uri_path(request.path)
    return JsonResponse(
        problem_body(
            path, request_id, problem.slug, str(problem.detail), **problem.extensions
        ),
        status=problem.status_code,
        headers=headers,
        content_type=CONTENT_TYPE,
        json_dumps_params={"ensure_ascii": False, "separators": (",", ":")},
    )


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """Return the problem for an API view's error; None leaves it to Django's 500."""
    request: HttpRequest = context["request"]._request
    error = api_exception_of(error) or error
    if not isinstance(error, exceptions.APIException):
        return None
    response = problem_response(request, _problem_of(error, request))
    if authenticate := getattr(error, "auth_header", None):
        response.headers["WWW-Authenticate"] = authenticate
    return response


def api_exception_of(error: BaseException | None) -> exceptions.APIException | None:
    """Return the API error that a Django or database error stands for, else None."""
    match error:
        case Http404():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case DisallowedHost():
            return Problem(
                "host-not-allowed", "The service does not answer to this host."
            )
        case RequestDataTooBig():
            return Problem("body-too-large", "The body is too large.")
        case TooManyFieldsSent() | TooManyFilesSent():
            return Problem(
                "bad-request",
                f"The request has more than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS}"
                f" parameters or {settings.DATA_UPLOAD_MAX_NUMBER_FILES} files.",
            )
        case BadRequest():  # its text is meant for the client
            return Problem("bad-request", str(error))
        case SuspiciousOperation():
            return Problem("bad-request", "The request is not acceptable.")
        case MultiPartParserError() | UnreadablePostError():
            return Problem("bad-request", "The body could not be read.")
        case Exception() if is_unavailable(error):
            logger.error("database unavailable: %s", error)
            return Problem("database-unavailable", "The database is unavailable.")
    return None


def _problem_of(error: exceptions.APIException, request: HttpRequest) -> Problem:
    """Return an API view's error as a `Problem`."""
    if isinstance(error, Problem):
        return error
    detail = str(error.detail)
    if isinstance(error, exceptions.MethodNotAllowed):
        detail = f"{request.method} is not allowed here; see the Allow header."
    elif isinstance(error, exceptions.UnsupportedMediaType):
        detail = "The body's Content-Type must be application/json."
    return Problem(error.default_code.replace("_", "-"), detail)
