from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from mirrorsite.tokens.models import Scope, Token
from tests.tokens import bearer, new_token
from uploads.models import Action, UploadEvent

pytestmark = pytest.mark.django_db

LIST = "/admin/tokens/token/"
FORM = {"name": "probe", "can_read": "on", "days": "30"}


@pytest.fixture
def token(owner: User) -> Token:
    return new_token()[0]


class TestAdd:
    def test_shown_once__nowhere_else(self, admin_client, owner):
        answer = admin_client.post(f"{LIST}add/", FORM | {"user": str(owner.pk)})

        assert answer.status_code == 200
        assert "no-store" in answer["Cache-Control"]
        found = re.search(r'id="new-token">(mst_\w+)<', answer.content.decode())
        assert found is not None
        secret = found[1]
        used = Client().get("/api/uploads", headers=bearer(secret))
        assert used.status_code == 200
        token = Token.objects.get()
        assert token.scopes == {Scope.READ}
        cookies = str(answer.cookies) + str(admin_client.cookies)
        assert secret not in cookies
        for path in (LIST, f"{LIST}{token.pk}/change/", f"{LIST}{token.pk}/history/"):
            page = admin_client.get(path)
            assert page.status_code == 200
            assert secret not in page.content.decode()
            assert token.digest not in page.content.decode()
        assert str(LogEntry.objects.get()) == "Added “probe”."

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"can_read": ""}, "A token needs a scope"),
            ({"name": "a b"}, "letters, digits"),
            *(
                ({"days": days}, "Enter a whole number from 1 to 3,650.")
                for days in ("0", "3651", "x", "1.0", "٥", "9" * 5000)
            ),
            ({"user": "99999"}, "Select a valid choice"),
        ],
    )
    def test_refused(self, admin_client, owner, change, words):
        form = FORM | {"user": str(owner.pk)} | change
        answer = admin_client.post(f"{LIST}add/", form)
        assert words in answer.content.decode()
        assert not Token.objects.exists()

    @pytest.mark.django_db(transaction=True)
    def test_name_taken_by_another_request__the_form_says_so(
        self, admin_client, owner, monkeypatch
    ):
        def make_other() -> None:
            new_token(owner=owner, name="probe")
            connection.close()

        def save(token: Token, *args: Any, **kwargs: Any) -> None:
            monkeypatch.undo()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(make_other).result(30)
            token.save(*args, **kwargs)

        monkeypatch.setattr(Token, "save", save)
        answer = admin_client.post(f"{LIST}add/", FORM | {"user": str(owner.pk)})
        assert answer.status_code == 200
        assert "API token with this Name already exists." in answer.content.decode()
        made = UploadEvent.objects.get(action=Action.TOKEN_MADE)
        assert made.actor == "command:test"


class TestRevoke:
    def revoke(self, client: Client, token: Token) -> Any:
        return client.post(
            LIST, {"action": "revoke", "_selected_action": [token.pk]}, follow=True
        )

    def test_revoke(self, admin_client, token):
        answer = self.revoke(admin_client, token)
        assert "Tokens revoked: 1." in answer.content.decode()
        token.refresh_from_db()
        assert token.revoked_at is not None
        assert LogEntry.objects.get().change_message == "Revoked."


class TestNeverChanged:
    def test_change_and_delete__403(self, admin_client, token):
        change = admin_client.post(f"{LIST}{token.pk}/change/", {"name": "other"})
        delete = admin_client.post(f"{LIST}{token.pk}/delete/", {"post": "yes"})
        assert (change.status_code, delete.status_code) == (403, 403)
        token.refresh_from_db()
        assert token.name == "ci"
