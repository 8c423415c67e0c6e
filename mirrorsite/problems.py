"""Errors as `application/problem+json` (RFC 9457), from every layer of the API."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:mirrorsite:problem:"


class Problem(exceptions.APIException):
    """An error with its own problem type; raise it from any API view.

    `slug` names the type, `detail` says what was wrong and what is allowed, and
    `extensions` are further members of the body.
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
    request: HttpRequest, status: int, slug: str | None, detail: str, **extensions: Any
) -> dict[str, Any]:
    """Return the members of one problem; without a slug the type is about:blank."""
    return {
        "type": _TYPE_PREFIX + slug if slug else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "request_id": request.META.get("mirrorsite.request_id", ""),
        **extensions,
    }


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what an API view raised into a problem; None leaves it to Django's 500."""
    request: HttpRequest = context["request"]._request
    headers: dict[str, str] = {}
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    extensions: dict[str, Any] = {}
    slug = error.default_code.replace("_", "-")
    if isinstance(error, Problem):
        slug, extensions = error.slug, dict(error.extensions)
    detail = error.detail if isinstance(error.detail, str) else "Invalid input."
    if isinstance(error, exceptions.ValidationError):
        extensions["errors"] = error.get_full_details()
    if isinstance(error, exceptions.MethodNotAllowed):
        detail = f"{request.method} is not allowed here; see the Allow header."
    if authenticate := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = authenticate
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait))
    if (retry_after := extensions.pop("retry_after", None)) is not None:
        headers["Retry-After"] = str(retry_after)
    return Response(
        problem_body(request, error.status_code, slug, detail, **extensions),
        status=error.status_code,
        headers=headers,
        content_type=CONTENT_TYPE,
    )


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def _problem_response(
    request: HttpRequest, status: int, slug: str, detail: str
) -> HttpResponse:
    return JsonResponse(
        problem_body(request, status, slug, detail),
        status=status,
        content_type=CONTENT_TYPE,
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a disallowed host and other suspicious requests."""
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return _problem_response(
        request, 400, "bad-request", "The request or its Host header is not acceptable."
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if not _is_api(request):
        return defaults.permission_denied(request, exception)
    return _problem_response(request, 403, "permission-denied", "Not allowed.")


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    return _problem_response(
        request, 404, "not-found", "There is nothing at this path."
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500; what went wrong is in the log, by request id."""
    if not _is_api(request):
        return defaults.server_error(request)
    return _problem_response(
        request,
        500,
        "internal-error",
        "The service failed; its log has the request id.",
    )
