"""Who acts: the actor of a request, a page or a command, as the audit trail names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from rest_framework.request import Request

from mirrorsite.client_address import client_address, client_network

if TYPE_CHECKING:
    from mirrorsite.tokens.models import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, as far as it is known.

    `name` is `anonymous`, `user:<username>`, `token:<name>`, or
    `command:<management command>`.
    """

    name: str = "anonymous"
    user_id: int | None = None
    address: str | None = None
    user_agent: str = ""
    request_id: str = ""


def actor_of(request: Request) -> Actor:
    """Return the actor of an API request."""
    user, token = credentials_of(request)
    if token is not None:
        name = f"token:{token.name}"
    else:
        name = "anonymous" if user is None else f"user:{user.get_username()}"
    return actor_named(
        request._request, name, user_id=None if user is None else user.pk
    )


def actor_named(
    request: HttpRequest, name: str, *, user_id: int | None = None
) -> Actor:
    """Return the actor of a request under a given name.

    A session made by a script has a request without an address or a request id.
    """
    meta = request.META
    return Actor(
        name=name,
        user_id=user_id,
        address=address_of(request) if meta.get("REMOTE_ADDR") else None,
        user_agent=printable(meta.get("HTTP_USER_AGENT", "")),
        request_id=meta.get("mirrorsite.request_id", ""),
    )


def credentials_of(request: Request) -> tuple[User | None, Token | None]:
    """Return the user and the token that a view's authentication found, or None."""
    return cast("tuple[User | None, Token | None]", (request.user, request.auth))


def actor_key_of(request: Request) -> str | None:
    """Return a key that is unique to an actor with credentials; None without.

    The id of a token, not its name: ids are never reused.
    """
    user, token = credentials_of(request)
    if token is not None:
        return f"token:{token.pk}"
    return None if user is None else f"user:{user.pk}"


def client_key_of(request: Request) -> str:
    """Return what shares a quota: the actor with credentials, else the client's network."""
    return actor_key_of(request) or network_key_of(request._request)


def network_key_of(request: HttpRequest) -> str:
    return f"network:{client_network(address_of(request))}"


def address_of(request: HttpRequest) -> str | None:
    """Return the client's address, seen through `TRUSTED_PROXIES` proxies."""
    meta = request.META
    return client_address(
        meta.get("REMOTE_ADDR", ""),
        meta.get("HTTP_X_FORWARDED_FOR", ""),
        settings.TRUSTED_PROXIES,
    )


def printable(text: str) -> str:
    """Return `text` without the characters that a log or PostgreSQL cannot hold."""
    return "".join(c if c.isprintable() else "�" for c in text)
