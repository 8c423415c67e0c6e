"""Making and revoking tokens: for the admin and the commands alike."""

from __future__ import annotations

import logging
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
    digest, secret = get_digest_token()
    token = Token(
        user=owner,
        name=name,
        can_upload=Scope.UPLOAD in scopes,
        can_read=Scope.READ in scopes,
        expiry=timezone.now() + timedelta(days=days),
        digest=digest,
        token_key=secret[: CONSTANTS.TOKEN_KEY_LENGTH],
    )
    token.full_clean()
    token.save(force_insert=True)
    logger.info("token=%s owner=%s created", token.name, owner.get_username())
    return token, secret


def issue_token(*, name: str, minutes: int) -> tuple[Token, str]:
    """Return a token for a program of ours and its record, valid for `minutes`.

    The name is the token's and that of its owner, a user who cannot log in. The record
    is reused, so that a program that runs every few minutes leaves one.
    """
    owner, made = User.objects.get_or_create(username=name)
    if made:
        owner.set_unusable_password()
        owner.save(update_fields=["password"])
    digest, secret = get_digest_token()
    token = Token.objects.filter(name=name, user=owner).first() or Token(
        name=name, user=owner
    )
    token.can_upload = token.can_read = True
    token.created = timezone.now()
    token.expiry = token.created + timedelta(minutes=minutes)
    token.revoked_at = None
    token.digest = digest
    token.token_key = secret[: CONSTANTS.TOKEN_KEY_LENGTH]
    token.full_clean()
    token.save()
    logger.info("token=%s owner=%s issued", token.name, owner.get_username())
    return token, secret


def revoke_token(token: Token) -> bool:
    """Make a token worthless from now on; False when it was revoked before."""
    now = timezone.now()
    changed = Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now)
    if changed:
        token.revoked_at = now
        logger.info("token=%s revoked", token.name)
    return bool(changed)
