"""The actor of a request, page or command, as recorded in the audit trail."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

from mirrorsite.logs import client_address, printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The user, token or command that acts, and where its request came from.

    `name` is `anonymous`, `user:<username>`, `token:<name>`, or
    `command:<management command>`. `key` identifies an actor with credentials by an id
    that is never reused (`user:<id>`, `token:<id>`); it is empty for others.
    """

    name: str = "anonymous"
    key: str = ""
    user_id: int | None = None
    address: str | None = None
    user_agent: str = ""
    request_id: str = ""

    @property
    def quota_key(self) -> str:
        """The key of a quota: the actor with credentials, else the client's network."""
        return self.key or f"network:{client_network(self.address)}"

    @property
    def idempotency_scope(self) -> str:
        """The scope of an idempotency key: the actor with credentials, else the address."""
        return self.key or f"address:{self.address or 'unknown'}"


def actor_of(request: Request) -> Actor:
    """Return the actor of an API request."""
    http = request._request
    user: Any = request.user
    token: Any = request.auth
    if user is None:
        return actor_named(http, "anonymous")
    if token is None:
        return staff_actor(http)
    return actor_named(
        http, f"token:{token.name}", key=f"token:{token.pk}", user_id=user.pk
    )


def staff_actor(request: HttpRequest) -> Actor:
    """Return the logged-in user of a request as the actor."""
    user: Any = request.user
    return actor_named(
        request, f"user:{user.get_username()}", key=f"user:{user.pk}", user_id=user.pk
    )


def actor_named(
    request: HttpRequest,
    name: str,
    *,
    key: str = "",
    user_id: int | None = None,
) -> Actor:
    """Return the actor of a request under a given name.

    Address and request id are missing in a request that a script built itself, such as
    that of `django.test.Client.login`.
    """
    meta = request.META
    return Actor(
        name=name,
        key=key,
        user_id=user_id,
        address=client_address(
            meta.get("REMOTE_ADDR", ""),
            meta.get("HTTP_X_FORWARDED_FOR", ""),
            settings.TRUSTED_PROXIES,
        ),
        user_agent=printable(meta.get("HTTP_USER_AGENT", "")),
        request_id=meta.get("mirrorsite.request_id", ""),
    )


@lru_cache(maxsize=4096)
def client_network(address: str | None) -> str:
    """Return the network that counts as one client: an IPv4 address or an IPv6 /64.

    A subscriber is given at least a /64 (RFC 6177), so single IPv6 addresses do not
    identify clients.
    """
    if address is None:
        return "unknown"
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(parsed), 64), strict=False))
        return str(parsed.ipv4_mapped)
    return str(parsed)


def is_cross_origin(request: HttpRequest) -> bool:
    """Return True if a page of another origin caused the request (Sec-Fetch-Site).

    The header is missing over plain HTTP and from browsers before 2023: then False.
    """
    return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}
