"""Who makes an API request, in the words of the trail."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from mirrorsite.client_address import client_address
from uploads.trail import Caller


def caller_of(request: HttpRequest) -> Caller:
    """Return the caller of an API request."""
    meta = request.META
    return Caller(
        address=client_address(
            meta.get("REMOTE_ADDR", ""),
            meta.get("HTTP_X_FORWARDED_FOR", ""),
            settings.TRUSTED_PROXIES,
        ),
        user_agent=printable(meta.get("HTTP_USER_AGENT", "")),
        request_id=meta["mirrorsite.request_id"],
    )


def printable(text: str) -> str:
    """Return `text` without the characters that a log or PostgreSQL cannot hold."""
    return "".join(c if c.isprintable() else "�" for c in text)
