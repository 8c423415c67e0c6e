"""Who may use the API: authentication by token or staff session, and permissions."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta
from typing import Any

import knox.auth
from django.conf import settings
from django.db import Error, transaction
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import (
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from mirrorsite.problems import Problem
from mirrorsite.tokens.models import Scope, Token

logger = logging.getLogger(__name__)

#: RFC 6750, section 3: a challenge has at least one parameter.
CHALLENGE = 'Bearer realm="mirrorsite"'
#: The last use of a token is written at most this often.
LAST_USE_INTERVAL = timedelta(minutes=1)
_WELL_FORMED = re.compile(r"[A-Za-z0-9_]{10,128}")


class TokenAuthentication(knox.auth.TokenAuthentication):
    """`Authorization: Bearer …` (RFC 6750): one query, however many tokens the owner has.

    Without the header the client is anonymous. An invalid header is a 401, so that a
    client that sends a malformed one is not treated as anonymous.
    """

    def authenticate(self, request: Request) -> tuple[Any, Token] | None:
        if not get_authorization_header(request):
            return None
        found: tuple[Any, Token] | None = super().authenticate(request)
        if found is None:
            raise AuthenticationFailed("The Authorization scheme must be Bearer.")
        return found

    def authenticate_credentials(self, token: bytes) -> tuple[Any, Token]:
        # Checked before the query: a malformed token may contain bytes that PostgreSQL
        # rejects.
        if not _WELL_FORMED.fullmatch(token.decode("latin-1")):
            raise _not_valid()
        try:
            found: tuple[Any, Token] = super().authenticate_credentials(token)
        except AuthenticationFailed as error:
            raise _not_valid() from error
        return found

    def validate_user(self, auth_token: Token) -> tuple[Any, Token]:
        """Return the owner and the token if both are valid; knox has compared the hash."""
        now = timezone.now()
        if not auth_token.is_valid_at(now) or not auth_token.user.is_active:
            raise _not_valid()
        _record_use(auth_token, now)
        return auth_token.user, auth_token

    def _cleanup_token(self, auth_token: Token) -> bool:
        """Keep knox from deleting expired tokens."""
        return False


class StaffSessionAuthentication(SessionAuthentication):
    """The session of an active member of staff, with CSRF protection.

    It works on `settings.STAFF_PATHS` only, where sessions are loaded.
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        user = getattr(request._request, "user", None)
        if user is None or not (user.is_active and user.is_staff):
            return None
        self.enforce_csrf(request)
        return user, None

    def enforce_csrf(self, request: Request) -> None:
        try:
            # Django's request: REST framework's would read the body as JSON.
            super().enforce_csrf(request._request)  # type: ignore[arg-type]
        except PermissionDenied as error:
            raise Problem("csrf-failed", str(error.detail)) from error


def _not_valid() -> AuthenticationFailed:
    # One text for all causes, so that it does not reveal which tokens exist.
    return AuthenticationFailed("The token is not valid: unknown, expired or revoked.")


def _record_use(token: Token, now: datetime) -> None:
    """Record the last use, at most once a minute; never fail or block the request."""
    threshold = now - LAST_USE_INTERVAL
    if token.last_used_at is not None and token.last_used_at > threshold:
        return
    outdated = Q(last_used_at=None) | Q(last_used_at__lte=threshold)
    try:
        with transaction.atomic():
            # Skips the row if another request is writing it.
            unlocked = Token.objects.select_for_update(skip_locked=True)
            Token.objects.filter(
                pk__in=unlocked.filter(outdated, pk=token.pk).values("pk")
            ).update(last_used_at=now)
    except Error as error:
        logger.warning(
            "token=%s last use not recorded: %s", token.name, type(error).__name__
        )


# --- Permissions ------------------------------------------------------------------


class MayRead(BasePermission):
    """A token with the scope `read`, or staff with the view's `staff_permission`.

    The admin requires the same permission for the same data.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        user: Any = request.user
        token: Any = request.auth
        if user is None:
            return False
        if token is None:
            return bool(user.has_perm(view.staff_permission))
        return _require_scope(token, Scope.READ)


class MayUpload(BasePermission):
    """Anyone, or with UPLOAD_AUTH=token only a token with the scope `upload`.

    A token that is sent must have the scope in both cases: one made for reading only is
    not meant to write.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        token: Any = request.auth
        if token is None:
            return bool(settings.UPLOAD_AUTH == "open")
        return _require_scope(token, Scope.UPLOAD)


class InsufficientScope(Problem):
    """403 with the challenge of RFC 6750, section 3.1."""

    def __init__(self, scope: Scope) -> None:
        super().__init__("permission-denied", f"The token lacks the scope {scope}.")
        self.auth_header = (
            f'{CHALLENGE}, error="insufficient_scope", scope="{scope.value}"'
        )


def _require_scope(token: Token, scope: Scope) -> bool:
    """Return True, or raise `InsufficientScope`."""
    if scope not in token.scopes:
        raise InsufficientScope(scope)
    return True
