"""Which client a request comes from: its address, and the name it goes by."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.request import Request

from mirrorsite.client_address import client_address
from mirrorsite.tokens.models import Token


def address_of(request: HttpRequest) -> str | None:
    """Return the client's address, seen through `TRUSTED_PROXIES` proxies."""
    meta = request.META
    return client_address(
        meta.get("REMOTE_ADDR", ""),
        meta.get("HTTP_X_FORWARDED_FOR", ""),
        settings.TRUSTED_PROXIES,
    )


def credentials_of(request: Request) -> tuple[User | None, Token | None]:
    """Return the user and the token that a view's authentication found, or None."""
    return cast("tuple[User | None, Token | None]", (request.user, request.auth))


def name_of(request: Request) -> str:
    """Return the caller's name in the trail: token:…, user:… or anonymous."""
    user, token = credentials_of(request)
    if token is not None:
        return f"token:{token.name}"
    return "anonymous" if user is None else f"user:{user.get_username()}"


def identity_of(request: Request) -> str | None:
    """Return what tells this caller from others with credentials; None without.

    The number of a token, not its name: it is never given out again.
    """
    user, token = credentials_of(request)
    if token is not None:
        return f"token:{token.pk}"
    return None if user is None else f"user:{user.pk}"
