"""The staff user behind a request, and whether the site's own page sent it."""

from __future__ import annotations

from django.http import HttpRequest

from mirrorsite.actors import Actor, actor_named


def staff_actor(request: HttpRequest) -> Actor:
    """Return the logged-in user as the actor."""
    user = request.user
    return actor_named(request, f"user:{user.get_username()}", user_id=user.pk)


def is_from_elsewhere(request: HttpRequest) -> bool:
    """Return True if another site's page sent the request; old browsers do not report it."""
    return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def staff_key(request: HttpRequest) -> str:
    """Return the key of the quota for this request: one for each user."""
    return f"user:{request.user.pk}"
