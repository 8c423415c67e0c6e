"""Logging in to the admin: throttled, and each login, failure and logout an event.

What was typed as a password is never kept, nor is a name that no user has: people type
passwords into the wrong field, and the trail forgets nothing.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import (
    user_logged_in,
    user_logged_out,
    user_login_failed,
)
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from mirrorsite.actors import actor_named
from mirrorsite.client_address import client_network
from uploads import trail
from uploads.models import Action, UploadEvent

logger = logging.getLogger(__name__)

WINDOW = timedelta(minutes=15)
#: From one address (IPv6: one /64), whatever the names.
MOST_FROM_ADDRESS = 10
#: For one user's name, from wherever.
MOST_FOR_USER = 30
#: How long a login makes its address one that the user's own count does not keep out.
KNOWN_FOR = timedelta(days=30)


class ThrottleBackend:
    """The first backend: refuses to look at a password after too many wrong ones.

    It knows no user (no `get_user`), so that Django never takes it for the backend
    that somebody logged in with.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, **rest: Any
    ) -> None:
        if request is not None and username and is_throttled(request, username):
            request.META["mirrorsite.throttled"] = True
            logger.warning("login throttled client=%s", _address(request))
            raise PermissionDenied


def is_throttled(request: HttpRequest, username: str) -> bool:
    """Tell whether this address or this user has had too many failures."""
    now = timezone.now()
    source = client_network(_address(request))
    failures = UploadEvent.objects.filter(
        action=Action.LOGIN_FAILED, at__gt=now - WINDOW
    )
    from_address = failures.filter(detail__source=source)
    if from_address[:MOST_FROM_ADDRESS].count() == MOST_FROM_ADDRESS:
        return True
    for_user = failures.filter(detail__username=username)
    if for_user[:MOST_FOR_USER].count() < MOST_FOR_USER:
        return False
    # Whoever knows a name could keep its user out for ever, were it not for this.
    return not UploadEvent.objects.filter(
        action=Action.LOGGED_IN,
        at__gt=now - KNOWN_FOR,
        actor=_actor(username),
        detail__source=source,
    ).exists()


@receiver(user_logged_in, dispatch_uid="uploads.logged_in")
def note_login(sender: Any, request: HttpRequest, user: Any, **rest: Any) -> None:
    _note(Action.LOGGED_IN, request, name=_actor(user.get_username()))


@receiver(user_logged_out, dispatch_uid="uploads.logged_out")
def note_logout(sender: Any, request: HttpRequest, user: Any, **rest: Any) -> None:
    if user is not None:
        _note(Action.LOGGED_OUT, request, name=_actor(user.get_username()))


@receiver(user_login_failed, dispatch_uid="uploads.login_failed")
def note_failure(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None, **rest: Any
) -> None:
    if request is None or request.META.get("mirrorsite.throttled"):
        return  # no password was looked at, so none was wrong
    users = get_user_model()
    typed = str(credentials.get(users.USERNAME_FIELD, ""))
    known = users._default_manager.filter(**{users.USERNAME_FIELD: typed}).exists()
    _note(
        Action.LOGIN_FAILED,
        request,
        name="anonymous",
        username=typed if known else None,
    )


def note_refusal(request: HttpRequest, user: Any) -> None:
    """Note a right password that opens nothing, of which Django sends no signal."""
    _note(
        Action.LOGIN_FAILED,
        request,
        name="anonymous",
        username=user.get_username(),
        reason="not staff",
    )


def _note(action: Action, request: HttpRequest, *, name: str, **detail: Any) -> None:
    actor = actor_named(request, name)
    detail |= {
        "source": client_network(actor.address),
        "client_address": actor.address,
        "user_agent": actor.user_agent[:512],
    }
    trail.note(action, actor, detail=detail)


def _actor(username: str) -> str:
    return f"user:{username}"


def _address(request: HttpRequest) -> str | None:
    return actor_named(request, "").address
