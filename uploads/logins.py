"""The admin's login: throttling, and an event for each login, failure and logout.

A name that was typed is recorded only if a user has it: people type passwords into the
wrong field, and events cannot be deleted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import (
    user_logged_in,
    user_logged_out,
    user_login_failed,
)
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from mirrorsite.actors import actor_named, client_network
from mirrorsite.rate_limits import DatabaseCounter
from uploads.audit import log
from uploads.models import Action, UploadEvent

logger = logging.getLogger(__name__)

#: Failures are counted per window of 15 minutes, as `mirrorsite.rate_limits` counts
#: requests.
WINDOW_SECONDS = 15 * 60
#: The most failures in a window from one address (IPv6: one /64), for all names.
MAX_FROM_ADDRESS = 10
#: The most failures in a window for one user name, from all addresses.
MAX_FOR_USER = 30
#: For this long after a login, `MAX_FOR_USER` does not apply to that user from that
#: network.
KNOWN_FOR = timedelta(days=30)
#: Key in a request's META: set if its login was throttled.
THROTTLED = "mirrorsite.throttled"
#: Key in a request's META: what `begin_attempt` returned for its login.
_ATTEMPTS = "mirrorsite.login_attempts"
#: Always the database, which all processes share; a login needs it anyway.
_counter = DatabaseCounter()


class ThrottleBackend:
    """The first authentication backend: refuses a login after too many failures.

    It authenticates no one, so the next backend decides about all other logins.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, **rest: Any
    ) -> None:
        if request is None or not username:
            return
        address = actor_named(request, "anonymous").address
        attempts = begin_attempt(address, username)
        if attempts is None:
            request.META[THROTTLED] = True
            logger.warning("login throttled client=%s", address)
            raise PermissionDenied
        request.META[_ATTEMPTS] = attempts


def begin_attempt(address: str | None, username: str) -> list[str] | None:
    """Count an attempt to log in; return None if a limit is reached.

    The attempt stays counted until the returned keys are passed to `forget_attempts`.
    """
    network = client_network(address)
    from_address = _count(f"address:{network}", MAX_FROM_ADDRESS)
    if from_address is None:
        return None
    user = User.objects.filter(username=username).first()
    # An unknown name takes the same statements, so that timing does not reveal it.
    key = f"address:{network}:unknown" if user is None else f"user:{user.pk}"
    for_user = _count(key, MAX_FOR_USER)
    if for_user is not None:
        return [from_address, for_user]
    # Without this exemption, anyone who knows a user name could lock that user out.
    if _is_known(network, username):
        return [from_address]
    forget_attempts([from_address])
    return None


def forget_attempts(keys: Iterable[str]) -> None:
    """Subtract a login that succeeded or was throttled."""
    for key in keys:
        _counter.add(key, WINDOW_SECONDS, -1)


def _count(subject: str, most: int) -> str | None:
    """Count an attempt against `subject`, an address or a user.

    Return the count's key, or None if there were `most` attempts in this window. The
    counter gives each concurrent attempt a number of its own, so no more than `most` get
    a key.
    """
    key = f"login/{subject}/{time.time() // WINDOW_SECONDS:.0f}"
    if _counter.add(key, WINDOW_SECONDS) <= most:
        return key
    forget_attempts([key])
    return None


def _is_known(network: str, username: str) -> bool:
    """Return True if the user logged in from this network within `KNOWN_FOR`."""
    return UploadEvent.objects.filter(
        action=Action.LOGGED_IN,
        at__gt=timezone.now() - KNOWN_FOR,
        actor=f"user:{username}",
        detail__source=network,
    ).exists()


@receiver(user_logged_in, dispatch_uid="uploads.logged_in")
def record_login(sender: Any, request: HttpRequest, user: Any, **rest: Any) -> None:
    forget_attempts(request.META.pop(_ATTEMPTS, ()))
    _record(Action.LOGGED_IN, request, f"user:{user.get_username()}")


@receiver(user_logged_out, dispatch_uid="uploads.logged_out")
def record_logout(sender: Any, request: HttpRequest, user: Any, **rest: Any) -> None:
    if user is not None:
        _record(Action.LOGGED_OUT, request, f"user:{user.get_username()}")


@receiver(user_login_failed, dispatch_uid="uploads.login_failed")
def record_failure(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None, **rest: Any
) -> None:
    if request is None or request.META.get(THROTTLED):
        return  # not a login at the admin, or one whose password was not checked
    typed = str(credentials.get("username", ""))
    username = typed if User.objects.filter(username=typed).exists() else None
    _record(Action.LOGIN_FAILED, request, "anonymous", username=username)


def record_refusal(request: HttpRequest, user: Any) -> None:
    """Record the login of a user who is not staff; Django sends no signal for it."""
    detail = {"username": user.get_username(), "reason": "not staff"}
    _record(Action.LOGIN_FAILED, request, "anonymous", **detail)


def _record(action: Action, request: HttpRequest, name: str, **detail: Any) -> None:
    actor = actor_named(request, name)
    detail |= {
        "source": client_network(actor.address),
        "client_address": actor.address,
        "user_agent": actor.user_agent[:512],
    }
    log.record_without_upload(action, actor, detail=detail)
