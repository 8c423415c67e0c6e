from __future__ import annotations

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from mirrorsite.actors import Actor
from mirrorsite.tokens import services
from mirrorsite.tokens.models import Scope, Token
from tests.outputs import FullOutput
from tests.tokens import bearer, new_token
from uploads.audit import log
from uploads.exceptions import TrailUnavailableError
from uploads.models import UploadEvent

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


CREATE = ["create_token", "ci", "--owner=olga", "--scope=read"]


class TestCreateToken:
    def test_printed_once__works__not_in_the_database(self, owner, client):
        out, err = run(*CREATE, "--days=7")

        secret = out.strip()
        assert out == f"{secret}\n"
        assert re.fullmatch("mst_[0-9a-f]{64}", secret)
        token = Token.objects.get()
        assert token.scopes == {Scope.READ}
        assert (token.expiry - token.created).days in {6, 7}
        assert secret not in err
        answer = client.get("/api/uploads", headers=bearer(secret))
        assert answer.status_code == 200
        assert secret not in str(Token.objects.values().get())
        assert len(token.digest) == 128  # SHA-512

    def test_json(self, owner):
        out, err = run(*CREATE, "--scope=upload", "--json")
        answer: dict[str, Any] = json.loads(out)
        assert err == ""
        assert answer.pop("token").startswith("mst_")
        expiry = Token.objects.get().expiry.isoformat().replace("+00:00", "Z")
        assert answer == {
            "name": "ci",
            "owner": "olga",
            "scopes": ["read", "upload"],
            "expires_at": expiry,
        }

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["ci", "--owner=nobody", "--scope=read"], "no user 'nobody'"),
            (["a b", "--owner=olga", "--scope=read"], "letters, digits"),
            (["n" * 101, "--owner=olga", "--scope=read"], "100"),
            (["ci", "--owner=olga", "--scope=read", "--days=0"], "from 1 to 3650"),
            (
                ["ci", "--owner=olga", "--scope=read", f"--days={'9' * 5000}"],
                "is not a whole number from 1 to 3650",
            ),
            (["ci", "--owner=olga", "--scope=write"], "invalid choice: 'write'"),
            (["ci", "--owner=olga"], "--scope"),
        ],
    )
    def test_refused(self, owner, arguments, words):
        with pytest.raises(CommandError, match=words):
            run("create_token", *arguments)
        assert not Token.objects.exists()

    def test_name_taken(self, owner):
        run(*CREATE)
        with pytest.raises(CommandError, match="already exists"):
            run(*CREATE)

    def test_owner_deactivated(self, owner):
        owner.is_active = False
        owner.save()
        with pytest.raises(CommandError, match="deactivated"):
            run(*CREATE)
        assert not Token.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "command", [CREATE, [*CREATE, "--json"], ["issue_token", "ci"]]
)
def test_output_full__no_token_and_nothing_logged(owner, caplog, command):
    """Nobody could know it."""
    caplog.set_level(logging.INFO, "mirrorsite.tokens.services")
    with pytest.raises(CommandError, match="no token was created") as caught:
        call_command(*command, stdout=FullOutput(), stderr=StringIO())
    assert caught.value.returncode == 74
    assert not Token.objects.exists()
    assert not UploadEvent.objects.exists()
    assert " created" not in caplog.text
    run(*command)
    assert " created" in caplog.text


class TestRevokeToken:
    def test_revoke(self, owner, client):
        secret = run(*CREATE)[0].strip()
        again = "token ci was revoked before; nothing changed\n"
        assert run("revoke_token", "ci")[0] == "token ci is revoked\n"
        assert run("revoke_token", "ci")[0] == again
        answer = client.get("/api/uploads", headers=bearer(secret))
        assert answer.status_code == 401

    def test_unknown(self):
        with pytest.raises(CommandError, match="no token 'ci'"):
            run("revoke_token", "ci")


def test_audit_log_unavailable__not_created_and_not_revoked(owner, make_fail):
    new_token(name="old")
    make_fail(
        log,
        "record_without_upload",
        TrailUnavailableError("the database is unavailable"),
    )
    with pytest.raises(CommandError, match="database is unavailable; no token was"):
        run(*CREATE)
    with pytest.raises(CommandError, match="database is unavailable; nothing was"):
        run("revoke_token", "old")
    assert Token.objects.get().revoked_at is None


@pytest.mark.django_db(transaction=True)
def test_issue_token__two_at_once__the_same():
    def issue(_: int) -> str:
        try:
            actor = Actor(name="command:test")
            return services.issue_token(program="canary", days=5, actor=actor)[1]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(issue, range(4)))) == 1
    assert Token.objects.count() == 1


class TestIssueToken:
    def test_new__opens_what_the_canary_needs_and_is_recorded(self, client):
        out, _ = run("issue_token", "canary", "--days=5")

        token = Token.objects.get()
        assert token.scopes == {Scope.READ, Scope.UPLOAD}
        assert token.expiry - token.created == timedelta(days=5)
        assert not token.user.has_usable_password()
        assert not token.user.is_staff
        answer = client.get("/api/uploads", headers=bearer(out.strip()))
        assert answer.status_code == 200
        events = UploadEvent.objects.order_by("id")
        assert [e.action for e in events] == ["user_made", "token_made"]
        assert {e.actor for e in events} == {"command:issue_token"}
        assert events[1].detail["token"].startswith("canary-")

    def test_again__the_same(self):
        """A canary that runs 35,000 times a year has a dozen tokens."""
        first, _ = run("issue_token", "canary")
        events = UploadEvent.objects.count()
        assert run("issue_token", "canary")[0] == first
        assert UploadEvent.objects.count() == events
        assert run("issue_token", "smoke")[0] != first

    @pytest.mark.parametrize("reason", ["expires soon", "revoked", "another key"])
    def test_again__replaced(self, reason, client, settings, monkeypatch):
        first, _ = run("issue_token", "canary")
        token = Token.objects.get()
        if reason == "expires soon":
            later = token.expiry - timedelta(minutes=30)
            monkeypatch.setattr(timezone, "now", lambda: later)
        elif reason == "revoked":
            run("revoke_token", token.name)
        else:
            settings.SECRET_KEY = "another-key-" * 5
        second, _ = run("issue_token", "canary")
        answer = client.get("/api/uploads", headers=bearer(second.strip()))
        assert second != first
        assert answer.status_code == 200
        assert Token.objects.values("name").distinct().count() == 2
        assert Token.objects.values("user").distinct().count() == 1

    @pytest.mark.parametrize(
        ("owner", "words"),
        [
            ({"password": "of a person"}, "can log in; choose another program name"),
            # The API would refuse the token.
            (
                {"is_active": False},
                "is deactivated; activate it, or choose another program name",
            ),
        ],
    )
    def test_owner__refused(self, owner, words):
        User.objects.create_user("canary", **owner)
        with pytest.raises(CommandError) as caught:
            run("issue_token", "canary")
        assert str(caught.value) == (
            f"the user canary {words}; no token was created for the program 'canary'."
        )
        assert not Token.objects.exists()

    def test_empty_name__the_message_names_the_argument(self):
        with pytest.raises(CommandError, match="program ''"):
            run("issue_token", "")
