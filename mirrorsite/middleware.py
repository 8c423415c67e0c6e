"""Middleware for all requests, sessions for some pages, and errors outside DRF's views."""

from __future__ import annotations

import sys
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.template.loader import render_to_string
from django.views import defaults

from mirrorsite.database import is_unavailable
from mirrorsite.headers import API_HEADERS, PAGE_HEADERS
from mirrorsite.logs import current_request_id, request_id_from
from mirrorsite.problem_types import PROBLEM_TYPES, SLUG_OF_STATUS
from mirrorsite.problems import (
    CONTENT_TYPE,
    Problem,
    api_exception_of,
    problem_response,
)

GetResponse = Callable[[HttpRequest], HttpResponseBase]

#: RFC 9110, section 8.6: a 204 has no Content-Length, and a 304 need not have one.
_WITHOUT_LENGTH = frozenset({204, 304})


class EdgeMiddleware:
    """The outermost middleware: request id, host check, errors, headers, route, duration.

    All in one, because each middleware costs every request a few microseconds.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = perf_counter()
        meta = request.META
        request_id = request_id_from(
            meta.get("HTTP_X_REQUEST_ID", ""), meta.get("HTTP_TRACEPARENT", "")
        )
        # The server reads the id from META, like the route and duration below, for its log
        # and its metrics.
        meta["mirrorsite.request_id"] = request_id
        # Not reset: what is logged when a response is streamed or closed has the id too.
        current_request_id.set(request_id)
        try:
            request.get_host()  # here, so that no other middleware sees a disallowed host
        except DisallowedHost as error:
            response: HttpResponseBase = error_answer(request, error)
        else:
            response = self.get_response(request)
        if response.status_code >= 400:
            response = _as_problem(request, response)
        headers = response.headers
        headers["X-Request-ID"] = request_id
        for name, value in (API_HEADERS if _is_api(request) else PAGE_HEADERS).items():
            headers.setdefault(name, value)
        if isinstance(response, HttpResponse):
            if response.status_code not in _WITHOUT_LENGTH:
                headers.setdefault("Content-Length", str(len(response.content)))
            if request.method == "HEAD":
                # RFC 9110, section 9.3.2: the headers of GET, without its content.
                response.content = b""
        match = request.resolver_match
        # The home page's route is empty, and Prometheus drops a label without a value.
        meta["mirrorsite.route"] = (match.route or "/") if match else "unmatched"
        meta["mirrorsite.seconds"] = perf_counter() - started
        return response


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/") or request.path_info == "/api"


# --- Errors outside of DRF's views ------------------------------------------------


def _as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Replace an error page below /api/, such as Django's 404, with a problem.

    Headers such as Allow are kept.
    """
    if response.headers.get("Content-Type") == CONTENT_TYPE or not _is_api(request):
        return response
    slug = SLUG_OF_STATUS[response.status_code]
    answer = problem_response(request, Problem(slug, PROBLEM_TYPES[slug].meaning))
    for name, value in response.headers.items():
        if not name.startswith("Content-"):
            answer.headers.setdefault(name, value)
    return answer


def _refusal(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Return a problem below /api/, and elsewhere a plain page with the same text."""
    if _is_api(request):
        return problem_response(request, problem)
    status = problem.status_code
    page = HttpResponse(
        render_to_string(
            "mirrorsite/error.html",
            {"title": HTTPStatus(status).phrase, "detail": str(problem.detail)},
        ),
        status=status,
        headers={"Cache-Control": "no-store"},
    )
    if problem.retry_after is not None:
        page.headers["Retry-After"] = str(problem.retry_after)
    return page


def error_answer(
    request: HttpRequest, exception: Exception | None = None
) -> HttpResponse:
    """Django's handler400 (for suspicious requests), and handler500 (without `exception`).

    An unavailable database is a 503.
    """
    problem = api_exception_of(exception or sys.exc_info()[1])
    if isinstance(problem, Problem):
        return _refusal(request, problem)
    return defaults.server_error(request)


# --- Staff's pages ----------------------------------------------------------------


class StaffPages:
    """Session, CSRF protection, login and messages, for `/` and `STAFF_PATHS` only."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        inner = AuthenticationMiddleware(MessageMiddleware(get_response))  # type: ignore[arg-type]
        self._csrf = CsrfMiddleware(inner)  # type: ignore[arg-type]
        self._staff_pages = StaffSessionMiddleware(self._csrf)  # type: ignore[arg-type]

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        if path == "/" or path.startswith(settings.STAFF_PATHS):
            return self._staff_pages(request)  # type: ignore[return-value]
        return self.get_response(request)

    def process_view(self, request, callback, callback_args, callback_kwargs):  # type: ignore[no-untyped-def]
        """Check the CSRF token; Django calls this separately, just before the view."""
        if hasattr(request, "session"):
            return self._csrf.process_view(  # type: ignore[no-untyped-call]
                request, callback, callback_args, callback_kwargs
            )
        return None


class StaffSessionMiddleware(SessionMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        """Ignore a cookie that is not a session key.

        A quoted cookie can contain a NUL, which PostgreSQL's text cannot hold.
        """
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
        if key and not (key.isascii() and key.isalnum()):
            del request.COOKIES[settings.SESSION_COOKIE_NAME]
        super().process_request(request)

    def process_response(
        self, request: HttpRequest, response: HttpResponse
    ) -> HttpResponse:
        """Save the session; Django would report a database error as a deleted session."""
        try:
            return super().process_response(request, response)
        except SessionInterrupted as error:
            # Raised while an UpdateError was handled, which was raised while an error of the
            # database was handled.
            update_error = error.__context__
            failure = update_error and update_error.__context__
            if failure is not None and is_unavailable(failure):
                raise failure from failure.__cause__  # as it was raised first
            raise


#: Content types that Django parses as a form.
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
_UTF_8 = ("utf-8", "utf8")


class CsrfMiddleware(CsrfViewMiddleware):
    def process_view(self, request, callback, callback_args, callback_kwargs):  # type: ignore[no-untyped-def]
        if request.path_info == "/" and request.method != "POST":
            return None  # so that the home page answers PUT or DELETE with 405, not 403
        if request.method == "POST" and not _is_api(request):
            fault = _form_error(request)
            if fault:
                return _refusal(request, Problem("unsupported-media-type", fault))
        return super().process_view(request, callback, callback_args, callback_kwargs)


def _form_error(request: HttpRequest) -> str:
    """Return why the request's body cannot be read as a form; empty if it can.

    Django treats a body of another type as an empty form.
    """
    if request.META.get("CONTENT_LENGTH") in {None, "", "0"}:
        return ""
    if request.content_type not in _FORM_TYPES:
        return f"The body's Content-Type must be {' or '.join(_FORM_TYPES)}."
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return "The body must be sent without a Content-Encoding."
    charset = (request.content_params or {}).get("charset", "utf-8")
    return "" if charset.lower() in _UTF_8 else "A form must be sent in UTF-8."
