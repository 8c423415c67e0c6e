from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from mirrorsite.tokens.models import Token
from tests.tokens import new_token
from uploads.models import UploadEvent

pytestmark = pytest.mark.django_db
TOKENS = "/admin/tokens/token/"


@pytest.fixture
def token(db: None) -> Token:
    return new_token(name="robot")[0]


def make(client: Client, owner: User) -> Any:
    form = {"name": "new", "user": owner.pk, "can_upload": "on", "days": 3}
    return client.post(f"{TOKENS}add/", form)


def token_events() -> list[tuple[str, str, str]]:
    events = UploadEvent.objects.filter(action__startswith="token_").order_by("id")
    return [(event.action, event.actor, event.detail["token"]) for event in events]


def test_auditors_see_tokens_and_can_neither_make_nor_revoke_them(member_of, token):
    client = member_of("auditors")
    assert b"robot" in client.get(TOKENS).content
    assert make(client, token.user).status_code == 403
    client.post(TOKENS, {"action": "revoke", "_selected_action": [token.pk]})
    token.refresh_from_db()
    assert token.revoked_at is None
    assert Token.objects.count() == 1
    assert token_events() == [("token_made", "command:test", "robot")]


def test_operators_make_and_revoke_them_and_it_is_noted(member_of, token):
    client = member_of("operators")
    page = make(client, token.user)
    assert page.status_code == 200
    new = Token.objects.get(name="new")
    assert new.expiry - timezone.now() > timedelta(days=2)
    client.post(TOKENS, {"action": "revoke", "_selected_action": [token.pk]})
    token.refresh_from_db()
    assert token.revoked_at is not None
    assert token_events()[1:] == [
        ("token_made", "user:one-of-operators", "new"),
        ("token_revoked", "user:one-of-operators", "robot"),
    ]
    kept = str(list(UploadEvent.objects.values()))
    assert page.context["secret"] not in kept
    assert page.context["secret"][:15] not in kept
