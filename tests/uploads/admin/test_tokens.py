"""Tokens in the admin: made and shown once, revoked, never changed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from mirrorsite.tokens.models import Scope, Token
from tests.tokens import bearer, new_token
from uploads.models import UploadEvent

pytestmark = pytest.mark.django_db

LIST = "/admin/tokens/token/"
FORM = {"name": "probe", "can_read": "on", "days": "30"}


@pytest.fixture
def token(db: None) -> Token:
    return new_token(name="robot")[0]


def add(client: Client, token: Token, **changes: str) -> Any:
    """Send the form for another token of the same owner."""
    return client.post(f"{LIST}add/", FORM | {"user": str(token.user_id)} | changes)


def revoke(client: Client, token: Token) -> Any:
    form = {"action": "revoke", "_selected_action": [token.pk]}
    return client.post(LIST, form, follow=True)


def token_events() -> list[tuple[str, str, str]]:
    events = UploadEvent.objects.filter(action__startswith="token_").order_by("id")
    return [(event.action, event.actor, event.detail["token"]) for event in events]


def test_auditors__see_them_and_can_neither_make_nor_revoke_them(member_of, token):
    client = member_of("auditors")
    assert b"robot" in client.get(LIST).content
    assert add(client, token).status_code == 403
    revoke(client, token)
    token.refresh_from_db()
    assert token.revoked_at is None
    assert token_events() == [("token_made", "command:test", "robot")]


def test_operators__make_and_revoke_them_and_it_is_recorded(member_of, token):
    client = member_of("operators")

    answer = add(client, token)

    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    found = re.search(r'id="new-token">(mst_\w+)<', answer.content.decode())
    assert found is not None
    secret = found[1]
    used = Client().get("/api/uploads", headers=bearer(secret))
    assert used.status_code == 200
    new = Token.objects.get(name="probe")
    assert new.scopes == {Scope.READ}
    assert 28 < (new.expiry - new.created).days <= 30
    assert f"valid until {new.expiry:%Y-%m-%d %H:%M} UTC" in answer.content.decode()

    # Shown once, and nowhere else.
    assert secret not in str(answer.cookies) + str(client.cookies)
    for path in (LIST, f"{LIST}{new.pk}/change/", f"{LIST}{new.pk}/history/"):
        page = client.get(path)
        assert page.status_code == 200
        assert re.search(r"\d\d:\d\d:\d\d UTC", page.content.decode())
        assert secret not in page.content.decode()
        assert new.digest not in page.content.decode()
    assert secret[:15] not in str(list(UploadEvent.objects.values()))

    assert "Tokens revoked: 1." in revoke(client, token).content.decode()
    token.refresh_from_db()
    assert token.revoked_at is not None
    history = LogEntry.objects.order_by("pk")
    assert [str(entry) for entry in history] == [
        "Added “probe”.",
        "Changed “robot” — Revoked.",
    ]
    assert token_events()[1:] == [
        ("token_made", "user:one-of-operators", "probe"),
        ("token_revoked", "user:one-of-operators", "robot"),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"can_read": ""}, "A token needs a scope"),
        ({"name": "a b"}, "letters, digits"),
        ({"name": "robot"}, "API token with this Name already exists."),
        ({"days": "0"}, "Ensure this value is greater than or equal to 1."),
        ({"days": "3651"}, "Ensure this value is less than or equal to 3650."),
        *(
            ({"days": days}, "Enter a whole number.")
            for days in ("x", "1.5", "9" * 5000)
        ),
        ({"user": "99999"}, "Select a valid choice"),
    ],
)
def test_refused(admin_client, token, change, words):
    assert words in add(admin_client, token, **change).content.decode()
    assert Token.objects.get() == token


def test_owner_inactive__shown_and_no_choice_for_a_new_token(admin_client, token):
    User.objects.filter(pk=token.user_id).update(is_active=False)
    assert "owner inactive" in admin_client.get(LIST).content.decode()
    assert "Select a valid choice" in add(admin_client, token).content.decode()


def test_never_changed_or_deleted(admin_client, token):
    change = admin_client.post(f"{LIST}{token.pk}/change/", {"name": "other"})
    delete = admin_client.post(f"{LIST}{token.pk}/delete/", {"post": "yes"})
    assert (change.status_code, delete.status_code) == (403, 403)
    token.refresh_from_db()
    assert token.name == "robot"
