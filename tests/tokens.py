"""API tokens for tests."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from mirrorsite.actors import Actor
from mirrorsite.tokens.models import Scope, Token
from mirrorsite.tokens.services import create_token


def new_token(*scopes: Scope, name: str = "ci", **values: Any) -> tuple[Token, str]:
    """Make a token of olga's, to read unless told otherwise; return it and its secret."""
    return create_token(
        **{
            "actor": Actor(name="command:test"),
            "owner": User.objects.get_or_create(username="olga")[0],
            "name": name,
            "scopes": scopes or [Scope.READ],
            **values,
        }
    )


def bearer(secret: str) -> dict[str, str]:
    """Return the header that presents a token."""
    return {"authorization": f"Bearer {secret}"}
