"""Permissions of tokens by scope, and of staff sessions."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from mirrorsite.problems import Problem
from mirrorsite.tokens.authentication import CHALLENGE
from mirrorsite.tokens.models import Scope, Token


class MayRead(BasePermission):
    """A token with the scope `read`, or staff who hold the view's `staff_permission`.

    It is the permission that the admin requires for the same data.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        user: Any = request.user
        token: Any = request.auth
        if user is None:
            return False
        if token is None:
            return bool(user.has_perm(view.staff_permission))
        return _holds(token, Scope.READ)


class MayUpload(BasePermission):
    """Anyone, or with UPLOAD_AUTH=token only a token with the scope `upload`.

    A token that is presented must have the scope in both cases: one made only for
    reading is not meant to write.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        token: Any = request.auth
        if token is None:
            return bool(settings.UPLOAD_AUTH == "open")
        return _holds(token, Scope.UPLOAD)


class InsufficientScope(Problem):
    """403 with the challenge of RFC 6750, section 3.1."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            403, "permission-denied", f"The token lacks the scope {scope}."
        )
        self.auth_header = (
            f'{CHALLENGE}, error="insufficient_scope", scope="{scope.value}"'
        )


def _holds(token: Token, scope: Scope) -> bool:
    if scope not in token.scopes:
        raise InsufficientScope(scope)
    return True
