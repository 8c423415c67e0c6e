"""What every request passes, kept small, and what only staff's pages pass."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from mirrorsite.request_ids import request_id_from

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestIdMiddleware:
    """Give the request an identifier, and the response that and its length."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_id_from(request.META.get("HTTP_X_REQUEST_ID"))
        # In META so that the access log of the server finds it as well.
        request.META["mirrorsite.request_id"] = request_id
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id
        if isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
            if request.method == "HEAD":
                # RFC 9110, section 9.3.2: the headers of GET, without its content.
                response.content = b""
        return response


class AllowedHostMiddleware:
    """Refuse a Host that is not in ALLOWED_HOSTS before anything is done for it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.get_host()  # raises DisallowedHost, which becomes a 400
        return self.get_response(request)


class _StaffPagesOnly:
    """Skip the middleware it is mixed into for every path but `STAFF_PATHS`."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(settings.STAFF_PATHS):
            return super().__call__(request)  # type: ignore[misc, no-any-return]
        return self.get_response(request)  # type: ignore[attr-defined, no-any-return]


class StaffSessionMiddleware(_StaffPagesOnly, SessionMiddleware):
    pass


class StaffAuthenticationMiddleware(_StaffPagesOnly, AuthenticationMiddleware):
    pass


class StaffMessageMiddleware(_StaffPagesOnly, MessageMiddleware):
    pass


class StaffCsrfViewMiddleware(_StaffPagesOnly, CsrfViewMiddleware):
    """CSRF for staff's pages; `process_view` runs apart from `__call__`."""

    def process_view(self, request, callback, callback_args, callback_kwargs):  # type: ignore[no-untyped-def]
        if request.path_info.startswith(settings.STAFF_PATHS):
            return super().process_view(
                request, callback, callback_args, callback_kwargs
            )
        return None


class StaffContentPolicyMiddleware:
    """Let staff's pages run and load nothing but our own static files."""

    POLICY = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.path_info.startswith("/admin/"):
            response.headers.setdefault("Content-Security-Policy", self.POLICY)
        return response
