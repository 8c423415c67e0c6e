"""Who of the staff acts, in the words of the trail."""

from __future__ import annotations

from django.http import HttpRequest

from mirrorsite.clients import address_of
from uploads.api.callers import printable
from uploads.trail import Caller


def staff_caller(request: HttpRequest) -> Caller:
    """Return the logged-in user as the caller."""
    user = request.user
    return caller_named(request, f"user:{user.get_username()}", user_id=user.pk)


def is_from_elsewhere(request: HttpRequest) -> bool:
    """Tell whether another site's page made the browser ask; old browsers do not say."""
    return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def caller_named(
    request: HttpRequest, name: str, *, user_id: int | None = None
) -> Caller:
    """Return the caller of a page under a name.

    A session that a script makes has a request without an address or an id.
    """
    meta = request.META
    return Caller(
        name=name,
        user_id=user_id,
        address=address_of(request) if meta.get("REMOTE_ADDR") else None,
        user_agent=printable(meta.get("HTTP_USER_AGENT", "")),
        request_id=meta.get("mirrorsite.request_id", ""),
    )
