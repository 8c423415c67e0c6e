"""The admin's login: throttling, and an event for each login, failure and logout.

A typed name is recorded only if it is a user's: people type passwords into the wrong
field, and events cannot be deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import (
    user_logged_in,
    user_logged_out,
    user_login_failed,
)
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from mirrorsite.actors import actor_named
from mirrorsite.client_address import client_network
from uploads.audit import log
from uploads.models import Action, UploadEvent

logger = logging.getLogger(__name__)

WINDOW = timedelta(minutes=15)
#: Failures from one address (IPv6: one /64), for all names.
MAX_FROM_ADDRESS = 10
#: Failures for one user name, from all addresses.
MAX_FOR_USER = 30
#: For how long after a login its network is exempt from the limit of that user name.
KNOWN_FOR = timedelta(days=30)
#: Keys in a request's META: the login was throttled; the attempts counted for it.
_THROTTLED, _ATTEMPTS = "mirrorsite.throttled", "mirrorsite.login_attempts"


class ThrottleBackend:
    """The first backend: refuses a login after too many failures.

    It has no `get_user`, so Django never stores it as the backend of a session.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, **rest: Any
    ) -> None:
        if request is None or not username:
            return
        address = actor_named(request, "anonymous").address
        attempts = begin_attempt(address, username)
        if attempts is None:
            request.META[_THROTTLED] = True
            logger.warning("login throttled client=%s", address)
            raise PermissionDenied
        request.META[_ATTEMPTS] = attempts


#: The key that an attempt is counted under, and its time.
Attempt = tuple[str, datetime]


def begin_attempt(address: str | None, username: str) -> list[Attempt] | None:
    """Count an attempt to log in; None if a limit is reached.

    The attempt stays counted unless it is given to `forget_attempts`.
    """
    network = client_network(address)
    from_address = _count(f"address:{network}", MAX_FROM_ADDRESS)
    if from_address is None:
        return None
    user = User.objects.filter(username=username).first()
    # The same statements for an unknown name, so that timing does not reveal it.
    key = f"address:{network}:unknown" if user is None else f"user:{user.pk}"
    for_user = _count(key, MAX_FOR_USER)
    if for_user is not None:
        return [from_address, for_user]
    # Without this exemption, anyone who knows a user name could lock that user out.
    if _is_known(network, username):
        return [from_address]
    forget_attempts([from_address])
    return None


def forget_attempts(attempts: Iterable[Attempt]) -> None:
    """Uncount the attempts of a login that succeeded or was throttled."""
    with connection.cursor() as cursor:
        for key, at in attempts:
            cursor.execute(
                "UPDATE uploads_loginattempts SET at = array_remove(at, %s)"
                " WHERE key = %s",
                [at, key],
            )


def _count(key: str, most: int) -> Attempt | None:
    """Count an attempt unless there are `most` within the window.

    One statement: PostgreSQL locks the row before it evaluates the condition, so
    concurrent attempts cannot exceed `most`.
    """
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO uploads_loginattempts AS counted (key, at, expires_at)
            VALUES (%(key)s, ARRAY[%(now)s::timestamptz], %(end)s)
            ON CONFLICT (key) DO UPDATE
            SET at = array_append(
                    ARRAY(SELECT t FROM unnest(counted.at) t WHERE t > %(start)s),
                    excluded.at[1]
                ),
                expires_at = excluded.expires_at
            WHERE (
                SELECT count(*) FROM unnest(counted.at) t WHERE t > %(start)s
            ) < %(most)s
            """,
            {
                "key": key,
                "now": now,
                "start": now - WINDOW,
                "end": now + WINDOW,
                "most": most,
            },
        )
        is_counted = cursor.rowcount == 1
        cursor.execute(
            """
            DELETE FROM uploads_loginattempts WHERE key IN (
                SELECT key FROM uploads_loginattempts WHERE expires_at < %s
                FOR UPDATE SKIP LOCKED
            )
            """,
            [now],
        )
    return (key, now) if is_counted else None


def _is_known(network: str, username: str) -> bool:
    """Return True if the user logged in from this network within `KNOWN_FOR`."""
    return UploadEvent.objects.filter(
        action=Action.LOGGED_IN,
        at__gt=timezone.now() - KNOWN_FOR,
        actor=f"user:{username}",
        detail__source=network,
    ).exists()


@receiver(user_logged_in, dispatch_uid="uploads.logged_in")
def note_login(sender: Any, request: HttpRequest, user: Any, **rest: Any) -> None:
    forget_attempts(request.META.pop(_ATTEMPTS, ()))
    _note(Action.LOGGED_IN, request, f"user:{user.get_username()}")


@receiver(user_logged_out, dispatch_uid="uploads.logged_out")
def note_logout(sender: Any, request: HttpRequest, user: Any, **rest: Any) -> None:
    if user is not None:
        _note(Action.LOGGED_OUT, request, f"user:{user.get_username()}")


@receiver(user_login_failed, dispatch_uid="uploads.login_failed")
def note_failure(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None, **rest: Any
) -> None:
    if request is None or request.META.get(_THROTTLED):
        return  # no password was checked
    typed = str(credentials.get("username", ""))
    username = typed if User.objects.filter(username=typed).exists() else None
    _note(Action.LOGIN_FAILED, request, "anonymous", username=username)


def note_refusal(request: HttpRequest, user: Any) -> None:
    """Record a login refused for lack of access; Django sends no signal for it."""
    detail = {"username": user.get_username(), "reason": "not staff"}
    _note(Action.LOGIN_FAILED, request, "anonymous", **detail)


def _note(action: Action, request: HttpRequest, name: str, **detail: Any) -> None:
    actor = actor_named(request, name)
    detail |= {
        "source": client_network(actor.address),
        "client_address": actor.address,
        "user_agent": actor.user_agent[:512],
    }
    log.record_without_upload(action, actor, detail=detail)
