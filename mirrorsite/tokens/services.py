"""Creating and revoking tokens, each with its event; for the admin and the commands."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from datetime import timedelta

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from knox.crypto import hash_token
from knox.models import get_digest_token
from knox.settings import CONSTANTS, knox_settings

from mirrorsite.actors import Actor
from mirrorsite.tokens.models import Scope, Token
from uploads.accounts import recorded_saves
from uploads.audit import log
from uploads.audit.log import write_transaction
from uploads.models import Action

logger = logging.getLogger(__name__)

DEFAULT_DAYS = 90
MAX_DAYS = 3650
#: `issue_token` returns a token only if it is valid for longer than this.
RENEW_BEFORE = timedelta(hours=1)


def create_token(
    *,
    owner: User,
    name: str,
    scopes: Collection[Scope],
    actor: Actor,
    days: int = DEFAULT_DAYS,
    secret: str = "",
) -> tuple[Token, str]:
    """Create a token; return its record and its secret, which is not stored.

    It is valid for `days`, which callers keep within `MAX_DAYS`. The secret is random
    unless it is given. Raises Django's `ValidationError` if the name is taken or
    malformed, if there is no scope, or if the owner is deactivated; `IntegrityError` if a
    concurrent request takes the name first; and `TrailUnavailableError`.
    """
    if not owner.is_active:
        raise ValidationError(
            f"the user {owner} is deactivated; activate it, or choose another owner."
        )
    if not secret:
        _, secret = get_digest_token()
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
    with transaction.atomic():
        token.save(force_insert=True)
        log.record_without_upload(Action.TOKEN_CREATED, actor, detail=token.facts())
    # Logged on commit: the commands roll the token back if they cannot print its secret.
    transaction.on_commit(
        lambda: logger.info(
            "token=%s owner=%s created", token.name, owner.get_username()
        )
    )
    return token, secret


def issue_token(*, program: str, days: int, actor: Actor) -> tuple[Token, str]:
    """Return a valid token of an internal program: its record and its secret.

    The secret is derived from `SECRET_KEY`, so that each run can return it although it is
    not stored. A new token, valid for `days`, is created unless the program has one that
    is not revoked, was derived from the same key, and is valid for longer than
    `RENEW_BEFORE`. Its owner is a user with the program's name and no password, created
    if missing. Raises Django's `ValidationError` if the name is malformed, or if its user
    can log in or is deactivated; and `TrailUnavailableError`.
    """
    with write_transaction():
        # Serialises runs of one program, so that they return the same token.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
                [f"issue_token {program}"],
            )
        owner = User.objects.filter(username=program).first()
        if owner is not None and owner.has_usable_password():
            raise ValidationError(
                f"the user {program} can log in; choose another program name."
            )
        if owner is not None and not owner.is_active:
            raise ValidationError(
                f"the user {program} is deactivated; activate it, or choose another"
                " program name."
            )
        now = timezone.now()
        # `user=None` matches no token, since every token has an owner.
        for token in Token.objects.filter(
            user=owner, revoked_at=None, expiry__gt=now + RENEW_BEFORE
        ):
            secret = _derive_secret(token.name)
            if constant_time_compare(token.digest, hash_token(secret)):
                return token, secret
        name = f"{program}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        if owner is None:
            owner = User(username=program)
            owner.set_unusable_password()
            owner.full_clean()
            with recorded_saves(actor):
                owner.save()
        return create_token(
            owner=owner,
            name=name,
            scopes={Scope.READ, Scope.UPLOAD},
            actor=actor,
            days=days,
            secret=_derive_secret(name),
        )


def _derive_secret(name: str) -> str:
    """Return the secret of an internal program's token; it depends on `SECRET_KEY`."""
    mac = salted_hmac("mirrorsite.tokens", name, algorithm="sha256")
    return f"{knox_settings.TOKEN_PREFIX}{mac.hexdigest()}"


def revoke_token(token: Token, actor: Actor) -> bool:
    """Revoke a token; return False if it was revoked before."""
    now = timezone.now()
    with write_transaction():
        active = Token.objects.filter(pk=token.pk, revoked_at=None)
        if not active.update(revoked_at=now):
            return False
        log.record_without_upload(Action.TOKEN_REVOKED, actor, detail=token.facts())
    token.revoked_at = now
    transaction.on_commit(lambda: logger.info("token=%s revoked", token.name))
    return True
