"""The actor of a request, a page or a command, as the audit log names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

from mirrorsite.client_address import client_address, client_network
from mirrorsite.printable import printable


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
    user: Any = request.user
    token: Any = request.auth
    if user is None:
        return actor_named(request._request, "anonymous")
    name = f"token:{token.name}" if token else f"user:{user.get_username()}"
    return actor_named(request._request, name, user_id=user.pk)


def actor_named(
    request: HttpRequest, name: str, *, user_id: int | None = None
) -> Actor:
    """Return the actor of a request under a given name.

    Address and request id are missing when a script logs in with a request that it
    built itself (`django.test.Client.login` does).
    """
    meta = request.META
    return Actor(
        name=name,
        user_id=user_id,
        address=address_of(request) if meta.get("REMOTE_ADDR") else None,
        user_agent=printable(meta.get("HTTP_USER_AGENT", "")),
        request_id=meta.get("mirrorsite.request_id", ""),
    )


def actor_key_of(request: Request) -> str | None:
    """Return a key that is unique to an actor with credentials; None without.

    The id of a token, not its name: ids are never reused.
    """
    user: Any = request.user
    token: Any = request.auth
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
