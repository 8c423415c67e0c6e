"""Errors as `application/problem+json` (RFC 9457), from every layer of the API.

Views raise `Problem`. What they do not foresee (Django's own errors, the database's,
a fault of ours) becomes one of the declared types here: in DRF's exception handler,
in Django's error views, and, for pages that neither made (those of DEBUG), in
`as_problem`, which the outermost middleware calls. Nothing internal is told.
"""

from __future__ import annotations

import json
import logging
import sys
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from django.views import csrf, defaults
from rest_framework import exceptions
from rest_framework.response import Response

from mirrorsite.problem_types import PROBLEM_TYPES, SLUG_OF_STATUS

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
#: What a 503 asks the client to wait, in seconds.
RETRY_AFTER_SECONDS = 5
#: Errors are about this moment; 404, 405 and 501 could be kept by caches otherwise
#: (RFC 9110, section 15.1).
_NO_STORE = {"Cache-Control": "no-store"}


class Problem(exceptions.APIException):
    """An error with its own problem type; raise it from any API view.

    `slug` names the type (declared in `problem_types`), `detail` says what was wrong
    and what is allowed, and `extensions` are further members of the body.
    """

    def __init__(
        self, status: int, slug: str, detail: str, **extensions: object
    ) -> None:
        super().__init__(detail, slug)
        self.status_code = status
        self.slug = slug
        self.extensions = extensions


class InvalidRequest(Problem):
    """400: one field of the request is wrong."""

    def __init__(self, field: str, slug: str, detail: str) -> None:
        super().__init__(
            400, slug, detail, errors=[{"field": field, "code": slug, "detail": detail}]
        )


def problem_body(
    path: str, request_id: str, status: int, slug: str, detail: str, **extensions: Any
) -> dict[str, Any]:
    """Return the members of one problem; an undeclared slug has the status's phrase."""
    kind = PROBLEM_TYPES.get(slug)
    return {
        "type": kind.uri if kind else "about:blank",
        "title": kind.title if kind else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        # A URI reference (RFC 3986), without the query: it may hold what is private.
        "instance": quote(path, safe="/:@!$&'()*+,;=~-._"),
        "request_id": request_id,
        **extensions,
    }


def is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/") or request.path_info == "/api"


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what an API view raised into a problem; None leaves it to Django's 500."""
    request: HttpRequest = context["request"]._request
    error = _foreseen(error) or error
    if not isinstance(error, exceptions.APIException):
        return None
    slug, detail, extensions = _told(error, request)
    headers = dict(_NO_STORE)
    if authenticate := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = authenticate
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait))
    if (retry_after := extensions.pop("retry_after", None)) is not None:
        headers["Retry-After"] = str(retry_after)
    status = error.status_code
    body = problem_body(
        request.path, _request_id(request), status, slug, detail, **extensions
    )
    return Response(body, status=status, headers=headers, content_type=CONTENT_TYPE)


def _foreseen(error: BaseException | None) -> exceptions.APIException | None:
    """Return the problem that an error of Django, the database or the server is."""
    match error:
        case Http404():
            return exceptions.NotFound()
        case PermissionDenied():
            return exceptions.PermissionDenied()
        case DisallowedHost():
            return Problem(
                400, "host-not-allowed", "The service does not answer to this host."
            )
        case RequestDataTooBig():
            return Problem(413, "body-too-large", "The body is too large.")
        case SuspiciousOperation() | BadRequest():
            return Problem(400, "bad-request", "The request is not acceptable.")
        case MultiPartParserError() | UnreadablePostError():
            return Problem(400, "bad-request", "The body could not be read.")
        case OperationalError() | InterfaceError():
            logger.error("database unavailable: %s", error)
            return Problem(
                503,
                "database-unavailable",
                "The database is unavailable.",
                retry_after=RETRY_AFTER_SECONDS,
            )
    return None


def _told(
    error: exceptions.APIException, request: HttpRequest
) -> tuple[str, str, dict[str, Any]]:
    """Return slug, detail and extensions of what an API view raised."""
    if isinstance(error, Problem):
        return error.slug, str(error.detail), dict(error.extensions)
    slug = error.default_code.replace("_", "-")
    detail = str(error.detail)
    if isinstance(error, exceptions.ValidationError):
        errors = list(_flat(error.get_full_details()))
        detail = "One or more values are not valid; see errors."
        return "invalid-parameter", detail, {"errors": errors}
    if isinstance(error, exceptions.MethodNotAllowed):
        detail = f"{request.method} is not allowed here; see the Allow header."
    elif isinstance(error, exceptions.UnsupportedMediaType):
        detail = "The body's Content-Type must be application/json."
    elif detail.startswith("CSRF Failed"):
        slug = "csrf-failed"
    return slug, detail, {}


def _flat(details: Any, field: str = "") -> Any:
    """Yield DRF's nested error details as a flat list of field, code and detail."""
    if isinstance(details, dict) and isinstance(details.get("code"), str):
        yield {
            "field": field or "body",
            "code": details["code"].replace("_", "-"),
            "detail": str(details["message"]),
        }
    elif isinstance(details, dict):
        for name, inner in details.items():
            own = field if name == "non_field_errors" else f"{field}.{name}".strip(".")
            yield from _flat(inner, own)
    elif isinstance(details, list):
        for inner in details:
            yield from _flat(inner, field)


# --- Outside DRF's views -----------------------------------------------------------


def problem_response(
    request: HttpRequest, status: int, slug: str, detail: str, **extensions: Any
) -> HttpResponse:
    """Return a problem from outside DRF: a middleware, an error view."""
    headers = dict(_NO_STORE)
    if (retry_after := extensions.pop("retry_after", None)) is not None:
        headers["Retry-After"] = str(retry_after)
    body = problem_body(
        request.path, _request_id(request), status, slug, detail, **extensions
    )
    return HttpResponse(
        json.dumps(body), status=status, headers=headers, content_type=CONTENT_TYPE
    )


def as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Return an error below /api/ as a problem, whoever made it.

    A page of DEBUG's, say: whatever it tells stays here. `Allow` and the like stay.
    """
    if response.headers.get("Content-Type") == CONTENT_TYPE or not is_api(request):
        return response
    status = response.status_code
    slug = SLUG_OF_STATUS.get(status, "internal-error" if status >= 500 else "error")
    kind = PROBLEM_TYPES.get(slug)
    detail = kind.meaning if kind else HTTPStatus(status).phrase
    problem = problem_response(request, status, slug, detail)
    for name in ("Allow", "WWW-Authenticate", "Retry-After"):
        if name in response.headers:
            problem.headers[name] = response.headers[name]
    return problem


def _from_django(request: HttpRequest, error: BaseException | None) -> HttpResponse:
    problem = _foreseen(error)
    if not isinstance(problem, Problem):
        return problem_response(
            request, 500, "internal-error", "The service failed; its log has the id."
        )
    return problem_response(
        request,
        problem.status_code,
        problem.slug,
        str(problem.detail),
        **problem.extensions,
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a disallowed host and other suspicious requests."""
    if not is_api(request):
        return defaults.bad_request(request, exception)
    return _from_django(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if not is_api(request):
        return defaults.permission_denied(request, exception)
    return problem_response(request, 403, "permission-denied", "Not allowed.")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if not is_api(request):
        return defaults.page_not_found(request, exception)
    return problem_response(request, 404, "not-found", "There is nothing at this path.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500; what went wrong is in the log, by request id.

    A database that is away is a 503 for the API, wherever it was asked.
    """
    if not is_api(request):
        return defaults.server_error(request)
    return _from_django(request, sys.exc_info()[1])


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    if not is_api(request):
        return csrf.csrf_failure(request, reason)
    return problem_response(
        request, 403, "csrf-failed", "The CSRF token is missing or not valid."
    )


def _request_id(request: HttpRequest) -> str:
    return str(request.META.get("mirrorsite.request_id", ""))
