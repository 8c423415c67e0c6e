"""Making and revoking tokens: for the admin and the commands alike."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from datetime import timedelta

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from knox.crypto import hash_token
from knox.models import get_digest_token
from knox.settings import CONSTANTS, knox_settings

from mirrorsite.tokens.models import Scope, Token

logger = logging.getLogger(__name__)

DEFAULT_DAYS = 90
MAX_DAYS = 3650
#: `issue_token` replaces a token that is valid for no longer than this.
RENEW_BEFORE = timedelta(hours=1)


def create_token(
    *, owner: User, name: str, scopes: Collection[Scope], days: int = DEFAULT_DAYS
) -> tuple[Token, str]:
    """Make a token and return its record with the token itself, which is not kept.

    `days` is how long it is valid, 1 to `MAX_DAYS`. Raises Django's
    `ValidationError` for a name that is taken or malformed, no scope, or wrong days.
    """
    if not 1 <= days <= MAX_DAYS:
        raise ValidationError(f"A token is valid for 1 to {MAX_DAYS} days, not {days}.")
    _, secret = get_digest_token()
    return _create(owner, name, scopes, days, secret), secret


def _create(
    owner: User, name: str, scopes: Collection[Scope], days: int, secret: str
) -> Token:
    now = timezone.now()
    token = Token(
        user=owner,
        name=name,
        can_upload=Scope.UPLOAD in scopes,
        can_read=Scope.READ in scopes,
        created=now,
        expiry=now + timedelta(days=days),
        digest=hash_token(secret),
        token_key=secret[: CONSTANTS.TOKEN_KEY_LENGTH],
    )
    token.full_clean()
    token.save(force_insert=True)
    logger.info("token=%s owner=%s created", token.name, owner.get_username())
    return token


def issue_token(*, program: str, days: int) -> tuple[Token, str, bool]:
    """Return the record of a program's valid token, the token, and whether it is new.

    The token is derived from `SECRET_KEY`, so that the next run can use the same one
    although it is not kept. A new one, valid for `days`, replaces a token that expires
    within `RENEW_BEFORE`, was revoked or was derived from another key. The owner is the
    user of the program's name, who cannot log in and is created if missing. Raises
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
    now = timezone.now()
    for token in Token.objects.filter(
        user=owner, revoked_at=None, expiry__gt=now + RENEW_BEFORE
    ):
        secret = _derived(token.name)
        if constant_time_compare(token.digest, hash_token(secret)):
            return token, secret, False
    name = f"{program}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    secret = _derived(name)
    scopes = {Scope.READ, Scope.UPLOAD}
    return _create(owner, name, scopes, days, secret), secret, True


def _derived(name: str) -> str:
    mac = salted_hmac("mirrorsite.tokens", name, algorithm="sha256")
    return f"{knox_settings.TOKEN_PREFIX}{mac.hexdigest()}"


def revoke_token(token: Token) -> bool:
    """Make a token worthless from now on; False when it was revoked before."""
    now = timezone.now()
    changed = Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now)
    if changed:
        token.revoked_at = now
        logger.info("token=%s revoked", token.name)
    return bool(changed)
