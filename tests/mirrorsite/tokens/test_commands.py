from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any
from unittest.mock import Mock

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
from uploads.exceptions import TrailUnavailableError
from uploads.models import UploadEvent

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


class TestCreateToken:
    def test_printed_once__works(self, owner, client):
        out, err = run("create_token", "ci", "--owner=olga", "--scope=read", "--days=7")

        secret = out.strip()
        assert out == f"{secret}\n"
        assert secret.startswith("mst_")
        assert len(secret) == 68
        token = Token.objects.get()
        assert token.scopes == {Scope.READ}
        assert (token.expiry - token.created).days in {6, 7}
        assert secret not in err
        answer = client.get("/api/uploads", headers=bearer(secret))
        assert answer.status_code == 200

    def test_hashed__nothing_of_it_in_the_database(self, owner):
        out, _ = run("create_token", "ci", "--owner=olga", "--scope=read")
        row = Token.objects.values().get()
        assert out.strip() not in str(row)
        assert len(row["digest"]) == 128  # SHA-512

    def test_json(self, owner):
        out, err = run(
            "create_token", "ci", "--owner=olga", "--scope=read", "--scope=upload",
            "--json",
        )  # fmt: skip
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
                "is not a number from 1 to 3650",
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
        run("create_token", "ci", "--owner=olga", "--scope=read")
        with pytest.raises(CommandError, match="already exists"):
            run("create_token", "ci", "--owner=olga", "--scope=read")

    @pytest.mark.parametrize("options", [[], ["--json"]])
    def test_output_full__no_token(self, owner, options):
        """Nobody could know it."""
        with pytest.raises(CommandError, match="no token was created") as caught:
            call_command(
                "create_token", "ci", "--owner=olga", "--scope=read", *options,
                stdout=FullOutput(), stderr=StringIO(),
            )  # fmt: skip
        assert caught.value.returncode == 74
        assert not Token.objects.exists()
        assert not UploadEvent.objects.exists()

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("full", [False, True])
    @pytest.mark.parametrize(
        "command", [["create_token", "ci", "--owner=olga", "--scope=read"],
                    ["issue_token", "canary"]], ids=["create", "issue"],
    )  # fmt: skip
    def test_logged__only_if_committed(self, owner, caplog, command, full):
        caplog.set_level(logging.INFO, "mirrorsite.tokens.services")
        if full:
            with pytest.raises(CommandError):
                call_command(*command, stdout=FullOutput(), stderr=StringIO())
        else:
            run(*command)
        assert (" created" in caplog.text) is not full


class TestRevokeToken:
    def test_revoke(self, owner, client):
        secret = run("create_token", "ci", "--owner=olga", "--scope=read")[0].strip()

        assert run("revoke_token", "ci")[0] == "token ci is revoked\n"
        assert run("revoke_token", "ci")[0] == (
            "token ci was revoked before; nothing changed\n"
        )
        answer = client.get("/api/uploads", headers=bearer(secret))
        assert answer.status_code == 401

    def test_unknown(self):
        with pytest.raises(CommandError, match="no token 'ci'"):
            run("revoke_token", "ci")


class TestAuditLogUnavailable:
    """No token is created or revoked without its event."""

    @pytest.fixture
    def no_events(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        return lambda: monkeypatch.setattr(
            "uploads.audit.log.record_event",
            Mock(side_effect=TrailUnavailableError("the database is unavailable")),
        )

    def test_not_created(self, owner, no_events):
        no_events()
        with pytest.raises(CommandError, match="database is unavailable; no token was"):
            call_command("create_token", "ci", "--owner", "olga", "--scope", "read")
        assert not Token.objects.exists()

    def test_not_revoked(self, owner, no_events):
        new_token()
        no_events()
        with pytest.raises(CommandError, match="database is unavailable; nothing was"):
            call_command("revoke_token", "ci")
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
    def test_new__opens_what_the_canary_needs(self, client):
        out, _ = run("issue_token", "canary", "--days=5")

        token = Token.objects.get()
        assert token.scopes == {Scope.READ, Scope.UPLOAD}
        assert token.expiry - token.created == timedelta(days=5)
        assert not token.user.has_usable_password()
        assert not token.user.is_staff
        answer = client.get("/api/uploads", headers=bearer(out.strip()))
        assert answer.status_code == 200

    def test_again__the_same(self):
        """A canary that runs 35,000 times a year has a dozen tokens."""
        first, _ = run("issue_token", "canary")
        events = UploadEvent.objects.count()
        assert run("issue_token", "canary")[0] == first
        assert Token.objects.count() == 1
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

    def test_recorded(self):
        run("issue_token", "smoke")
        events = UploadEvent.objects.order_by("id")
        assert [e.action for e in events] == ["user_made", "token_made"]
        assert {e.actor for e in events} == {"command:issue_token"}
        assert events[1].detail["token"].startswith("smoke-")

    def test_name_of_a_person__refused(self, owner):
        owner.set_password("of a person")
        owner.save()
        with pytest.raises(CommandError, match="can log in"):
            run("issue_token", owner.username)
        assert not Token.objects.exists()

    def test_owner_deactivated__refused(self):
        """The API would refuse the token."""
        run("issue_token", "canary")
        User.objects.filter(username="canary").update(is_active=False)
        with pytest.raises(CommandError, match="user canary is deactivated"):
            run("issue_token", "canary")

    def test_empty_name__the_message_names_the_argument(self):
        with pytest.raises(CommandError, match="program ''"):
            run("issue_token", "")
