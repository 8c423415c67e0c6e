"""Tokens at the door, over HTTP, with the list of uploads as the thing behind it."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, connections
from django.test import Client
from django.utils import timezone

from mirrorsite.actors import Actor
from mirrorsite.tokens.authentication import LAST_USE_INTERVAL
from mirrorsite.tokens.models import Scope, Token
from mirrorsite.tokens.services import revoke_token
from tests.conftest import service_database_url
from tests.problems import slug
from tests.tokens import bearer, new_token
from uploads.models import Upload

ACTOR = Actor(name="command:test")

pytestmark = pytest.mark.django_db

INVALID = 'Bearer realm="mirrorsite", error="invalid_token"'


@pytest.fixture
def token(owner: User) -> tuple[Token, str]:
    return new_token(name="reader")


def get(client: Client, secret: str) -> Any:
    return client.get("/api/uploads", headers=bearer(secret))


class TestTokenAuthentication:
    @pytest.mark.parametrize(
        "header",
        [
            "Bearer",
            "Bearer ",
            "Bearer one two",
            "Bearer mst_" + "0" * 64,
            "Bearer mst_" + "0" * 4000,
            "Bearer \xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5",
            "Bearer mst_\x00aaaaaaaaaaaaaaaaaaaaa",
            "Bearer '; drop table tokens_token; --",
            "Basic b2xnYTpwYXNz",
            "Token mst_" + "0" * 64,
            "\x00",
        ],
    )
    def test_presented_but_no_token(self, client, token, header):
        for answer in (
            client.get("/api/uploads", headers={"authorization": header}),
            client.post("/api/upload-random", headers={"authorization": header}),
        ):
            assert answer.status_code == 401
            assert answer["WWW-Authenticate"] == INVALID
            assert slug(answer) == "authentication-failed"

    @pytest.mark.parametrize(
        "fault", ["wrong end", "revoked", "owner inactive", "expired"]
    )
    def test_no_longer_or_never_valid(self, client, token, fault, monkeypatch):
        made, secret = token
        assert get(client, secret).status_code == 200
        if fault == "wrong end":
            secret = secret[:-1] + ("0" if secret[-1] != "0" else "1")
        elif fault == "revoked":
            assert revoke_token(made, ACTOR)
        elif fault == "owner inactive":
            User.objects.update(is_active=False)
        else:
            later = made.expiry + timedelta(days=1)
            monkeypatch.setattr(timezone, "now", lambda: later)
        answer = get(client, secret)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, INVALID)
        assert Token.objects.filter(pk=made.pk).exists()

    def test_other_scope__403(self, client, owner):
        _, secret = new_token(Scope.UPLOAD)

        answer = get(client, secret)

        assert answer.status_code == 403
        assert slug(answer) == "permission-denied"
        assert answer["WWW-Authenticate"] == (
            'Bearer realm="mirrorsite", error="insufficient_scope", scope="read"'
        )

    def test_one_query_however_many_tokens(
        self, client, owner, token, django_assert_num_queries, monkeypatch
    ):
        for number in range(5):
            new_token(name=f"other-{number}")
        with monkeypatch.context() as past:
            then = timezone.now() - timedelta(days=2)
            past.setattr(timezone, "now", lambda: then)
            new_token(name="expired", days=1)
        get(client, token[1])  # writes the last use

        with django_assert_num_queries(2):  # the token with its owner; the list
            answer = get(client, token[1])
        assert answer.json() == {"results": [], "next": None}
        assert answer["Cache-Control"] == "no-store"

    def test_last_use__at_most_once_a_minute(self, client, token):
        def last_use() -> Any:
            return Token.objects.get().last_used_at

        get(client, token[1])
        first = last_use()
        get(client, token[1])
        assert first is not None
        assert last_use() == first

        Token.objects.update(last_used_at=first - LAST_USE_INTERVAL)
        get(client, token[1])
        assert last_use() >= first

    @pytest.mark.django_db(transaction=True)
    def test_last_use__row_held_by_another_session__not_waited_for(
        self, client, token, caplog
    ):
        with psycopg.connect(service_database_url()) as holder:
            holder.execute("SELECT * FROM tokens_token FOR NO KEY UPDATE")
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            try:
                answer = get(client, token[1])
            finally:
                connection.close()
        assert answer.status_code == 200
        assert Token.objects.get().last_used_at is None
        assert "not recorded" not in caplog.text  # logged when a wait times out

    def test_never_logged(self, client, token, caplog):
        with caplog.at_level(logging.DEBUG):
            get(client, token[1])
            get(client, token[1][:-1] + "x")
            _, secret = new_token(name="logged")
        kept = [
            record.getMessage()
            for record in caplog.records
            if record.name != "django.db.backends"
        ]
        assert not [line for line in kept if token[1][4:] in line or secret in line]


def test_upload_auth__nobody_without_a_token(client, settings):
    settings.UPLOAD_AUTH = "token"

    answer = client.post("/api/upload-random")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="mirrorsite"'
    assert slug(answer) == "not-authenticated"


@pytest.mark.parametrize("mode", ["open", "token"])
def test_upload_auth__by_scope_and_named_in_the_record(
    client, settings, token, owner, bucket, mode
):
    settings.UPLOAD_AUTH = mode
    refused = client.post("/api/upload-random", headers=bearer(token[1]))
    assert refused.status_code == 403
    _, secret = new_token(Scope.UPLOAD, name="ci.probe")

    answer = client.post(
        "/api/upload-random",
        content_type="application/json",
        headers=bearer(secret),
    )

    assert answer.status_code == 201
    upload = Upload.objects.get()
    assert (upload.requester, upload.requester_name) == (owner, "token:ci.probe")
    assert {event.actor for event in upload.events.all()} == {"token:ci.probe"}


@pytest.mark.parametrize(
    ("path", "by"),
    [
        ("/api/uploads", "token"),
        ("/api/upload-random", "token"),
        ("/api/uploads", "session"),
    ],
)
def test_database_unavailable__503(client, token, owner, monkeypatch, path, by):
    """It says so, and nothing of the database's words."""
    headers = bearer(token[1]) if by == "token" else {}
    client.force_login(owner)
    error = OperationalError("server closed the connection")
    monkeypatch.setattr(connections["default"], "cursor", Mock(side_effect=error))
    method = client.post if path == "/api/upload-random" else client.get
    answer = method(path, headers=headers)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert slug(answer) == "database-unavailable"
    assert "server closed" not in answer.content.decode()
