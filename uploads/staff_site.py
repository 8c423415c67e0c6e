"""The admin site: the dashboard as its index, and a throttled login.

It is outside `uploads.admin`, because importing that registers models with this site.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.admin.options import TO_FIELD_VAR
from django.core.exceptions import BadRequest, ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from mirrorsite.actors import staff_actor
from mirrorsite.query import malformed_parameter
from uploads import accounts
from uploads.logins import THROTTLED, WINDOW_SECONDS, record_refusal

#: How often a session in use is extended; each extension writes to the database.
EXTEND_SESSION_SECONDS = 300


class ThrottledAuthenticationForm(AdminAuthenticationForm):
    """Shows its own message when a login is throttled, and records refused users."""

    def confirm_login_allowed(self, user: Any) -> None:
        try:
            super().confirm_login_allowed(user)
        except ValidationError:
            assert self.request is not None  # noqa: S101 AdminSite.login gives it
            record_refusal(self.request, user)
            raise

    def get_invalid_login_error(self) -> ValidationError:
        if self.request is not None and self.request.META.get(THROTTLED):
            return ValidationError(
                f"Too many failed logins. Wait {WINDOW_SECONDS // 60} minutes, then try"
                " again."
            )
        return super().get_invalid_login_error()


class StaffSite(AdminSite):
    site_header = "mirrorsite"
    site_title = "mirrorsite"
    index_title = "Dashboard"
    site_url = None
    login_form = ThrottledAuthenticationForm
    login_template = "admin/staff_login.html"
    index_template = "admin/dashboard.html"

    def get_urls(self) -> list[Any]:
        """Leave out "view on site": no model here has a page outside the admin."""
        return [
            pattern
            for pattern in super().get_urls()
            if getattr(pattern, "name", None) != "view_on_site"
        ]

    def admin_view(
        self, view: Callable[..., HttpResponseBase], cacheable: bool = False
    ) -> Any:
        """Refuse malformed URLs, and NUL characters, which PostgreSQL cannot store."""

        @wraps(view)
        def checked_view(
            request: HttpRequest, *args: Any, **kwargs: Any
        ) -> HttpResponseBase:
            if "%00" in request.get_full_path():
                raise BadRequest("The URL contains a NUL character.")
            if malformed_parameter(request.META.get("QUERY_STRING", "")) is not None:
                raise BadRequest("The query is not percent-encoded UTF-8.")
            # Django does not check an empty field name, and fails when it looks it up.
            if "" in (request.GET.get(TO_FIELD_VAR), request.POST.get(TO_FIELD_VAR)):
                raise BadRequest(f"{TO_FIELD_VAR} is empty.")
            return view(request, *args, **kwargs)

        return super().admin_view(checked_view, cacheable)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the context of every admin page; extend a logged-in user's session."""
        now = int(time.time())
        if request.user.is_authenticated:
            extended_at = request.session.get("extended_at", 0)
            if now - extended_at > EXTEND_SESSION_SECONDS:
                # Any change makes Django save the session with a new expiry.
                request.session["extended_at"] = now
        return super().each_context(request)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().login(request, extra_context)
        if request.META.get(THROTTLED):
            response.status_code = 429
            window_ends_in = WINDOW_SECONDS - int(time.time()) % WINDOW_SECONDS
            response.headers["Retry-After"] = str(window_ends_in)
        return response

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Change the user's own password, and record that as an event."""
        user: Any = request.user
        with accounts.recorded(user, staff_actor(request)):
            return super().password_change(request, extra_context)

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # Not at the top of the module: see its docstring.
        from uploads.admin.dashboard import context

        if not request.user.has_perm("uploads.view_upload"):
            return super().index(request, extra_context)
        shown = context(request.GET.get("range", ""))
        return super().index(request, {**shown, **(extra_context or {})})
