"""Who makes an API request, in the words of the trail."""

from __future__ import annotations

from rest_framework.request import Request

from mirrorsite.clients import address_of, credentials_of, name_of
from uploads.trail import Caller


def caller_of(request: Request) -> Caller:
    """Return the caller of an API request."""
    meta = request._request.META
    user, _ = credentials_of(request)
    return Caller(
        name=name_of(request),
        user_id=None if user is None else user.pk,
        address=address_of(request._request),
        user_agent=printable(meta.get("HTTP_USER_AGENT", "")),
        request_id=meta["mirrorsite.request_id"],
    )


def printable(text: str) -> str:
    """Return `text` without the characters that a log or PostgreSQL cannot hold."""
    return "".join(c if c.isprintable() else "�" for c in text)
