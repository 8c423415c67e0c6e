"""Users and tokens stay: whom an event names is one person, one token, always."""

from __future__ import annotations

import getpass
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from mirrorsite.actors import Actor
from mirrorsite.tokens.models import Token
from mirrorsite.tokens.services import revoke_token
from tests.tokens import new_token
from uploads.exceptions import AppendOnlyError
from uploads.models import UploadEvent

ACTOR = Actor(name="command:test")

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga(db: None) -> User:
    return User.objects.create_user("olga")


@pytest.fixture
def token(olga: User) -> Token:
    return new_token()[0]


def events() -> list[tuple[str, str, dict[str, Any]]]:
    rows = UploadEvent.objects.order_by("id")
    return [(row.action, row.actor, row.detail) for row in rows]


class TestNeverDeleted:
    def test_users(self, olga):
        for delete in (olga.delete, User.objects.all().delete):
            with pytest.raises(AppendOnlyError, match="delete"), transaction.atomic():
                delete()
        assert User.objects.get() == olga

    def test_tokens(self, olga, token):
        for delete in (
            token.delete,
            Token.objects.all().delete,
            Token.objects.filter(name="ci").delete,
            olga.auth_token_set.all().delete,
        ):
            with (
                pytest.raises(IntegrityError, match="append-only"),
                transaction.atomic(),
            ):
                delete()
        with pytest.raises(ProtectedError):
            olga.delete()
        assert Token.objects.get().user == olga

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM tokens_token",
            "TRUNCATE tokens_token",
            "DELETE FROM auth_user",
            "TRUNCATE auth_user CASCADE",
            "UPDATE auth_user SET username = 'another'",
            "UPDATE auth_user SET id = id + 1000",
            "UPDATE tokens_token SET id = 4711",
            "UPDATE tokens_token SET name = 'another'",
            "UPDATE tokens_token SET digest = repeat('0', 128)",
            "UPDATE tokens_token SET can_upload = true",
            "UPDATE tokens_token SET expiry = expiry + interval '1 day'",
        ],
    )
    def test_by_sql(self, token, statement):
        with connection.cursor() as cursor:
            # Foreign keys of the test's own rows, which wait for the commit.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            with (
                pytest.raises(IntegrityError, match="is refused"),
                transaction.atomic(),
            ):
                cursor.execute(statement)

    def test_a_revoked_token_stays_so(self, token):
        assert revoke_token(token, ACTOR)
        Token.objects.update(last_used_at=timezone.now())
        for moment in (None, timezone.now()):
            with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
                Token.objects.update(revoked_at=moment)

    def test_a_name_is_given_once(self, olga, token):
        revoke_token(token, ACTOR)
        with pytest.raises(ValidationError, match="already exists"):
            new_token()


@pytest.mark.parametrize(
    "command",
    [
        ["createsuperuser", "--no-input", "--username=ann", "--email=ann@example.org"],
        ["ensure_admin", "--name=ann"],
    ],
)
def test_commands__a_new_superuser_is_recorded_once(monkeypatch, command):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a-long-one-4711")
    call_command(*command, stdout=StringIO())
    call_command("ensure_admin", stdout=StringIO(), stderr=StringIO())
    user = User.objects.get()
    ((action, actor, detail),) = events()
    assert (action, actor) == ("user_made", f"command:{command[0]}")
    assert (detail["user"], detail["number"]) == ("ann", user.pk)
    assert detail["is_superuser"] is True
    assert "4711" not in str(detail)
    assert "example.org" not in str(detail)


def test_commands__changepassword(olga, monkeypatch):
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "another-4711")
    call_command("changepassword", "olga", stdout=StringIO())
    olga.refresh_from_db()
    assert olga.check_password("another-4711")
    detail = {"changed": ["password"], "before": {}, "after": {}}
    detail |= {"user": "olga", "number": olga.pk}
    assert events() == [("user_changed", "command:changepassword", detail)]
