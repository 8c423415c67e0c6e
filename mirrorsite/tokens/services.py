"""Making and revoking tokens: for the admin and the commands alike."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from datetime import timedelta

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from knox.models import get_digest_token
from knox.settings import CONSTANTS

from mirrorsite.tokens.models import Scope, Token

logger = logging.getLogger(__name__)

DEFAULT_DAYS = 90
MAX_DAYS = 3650


def create_token(
    *, owner: User, name: str, scopes: Collection[Scope], days: int = DEFAULT_DAYS
) -> tuple[Token, str]:
    """Make a token and return its record with the token itself, which is not kept.

    `days` is how long it is valid, 1 to `MAX_DAYS`. Raises Django's
    `ValidationError` for a name that is taken or malformed, no scope, or wrong days.
    """
    if not 1 <= days <= MAX_DAYS:
        raise ValidationError(f"A token is valid for 1 to {MAX_DAYS} days, not {days}.")
    return _create(owner, name, scopes, timedelta(days=days))


def _create(
    owner: User, name: str, scopes: Collection[Scope], valid_for: timedelta
) -> tuple[Token, str]:
    digest, secret = get_digest_token()
    now = timezone.now()
    token = Token(
        user=owner,
        name=name,
        can_upload=Scope.UPLOAD in scopes,
        can_read=Scope.READ in scopes,
        created=now,
        expiry=now + valid_for,
        digest=digest,
        token_key=secret[: CONSTANTS.TOKEN_KEY_LENGTH],
    )
    token.full_clean()
    token.save(force_insert=True)
    logger.info("token=%s owner=%s created", token.name, owner.get_username())
    return token, secret


def issue_token(*, program: str, minutes: int) -> tuple[Token, str]:
    """Make a token for one run of a program of ours, valid for `minutes`.

    Its owner is the user of the program's name, who cannot log in and is made if
    missing. Each run has a token of its own, because a token never changes. Raises
    Django's `ValidationError` if the name is malformed or a person's.
    """
    owner = User.objects.filter(username=program).first()
    if owner is None:
        owner = User(username=program)
        owner.set_unusable_password()
        owner.full_clean()
        owner.save()
    elif owner.has_usable_password():
        raise ValidationError(f"{program} is a user who can log in, and no program.")
    return _create(
        owner,
        f"{program}-{timezone.now():%Y%m%dT%H%M%S}-{secrets.token_hex(2)}",
        {Scope.READ, Scope.UPLOAD},
        timedelta(minutes=minutes),
    )


def revoke_token(token: Token) -> bool:
    """Make a token worthless from now on; False when it was revoked before."""
    now = timezone.now()
    changed = Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now)
    if changed:
        token.revoked_at = now
        logger.info("token=%s revoked", token.name)
    return bool(changed)
