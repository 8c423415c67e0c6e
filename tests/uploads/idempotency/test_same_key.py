"""The same key again: the same answer, or a refusal."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from mirrorsite.tokens.models import Scope
from mirrorsite.tokens.services import create_token
from tests.uploads.idempotency.retrying import (
    ACTOR,
    KEY,
    actions,
    objects_in,
    post,
    slug,
)
from uploads.audit import log
from uploads.models import Action, Upload


@pytest.mark.django_db
class TestSameKey:
    def test_finished__the_same_answer(self, client, bucket):
        first = post(client)
        second = post(client)
        quoted = post(client, key=f'"{KEY.key}"')
        empty = post(client, {})

        assert first.status_code == 201
        assert "Idempotent-Replayed" not in first
        for again in (second, quoted, empty):
            assert again.status_code == 201
            assert again["Idempotent-Replayed"] == "true"
            assert again["Location"] == first["Location"]
            assert again.content == first.content
        upload = Upload.objects.get()
        assert actions(upload) == ["requested", "stored"]
        assert objects_in(bucket) == [upload.key]
        assert upload.key.startswith("uploads/")
        assert upload.key.endswith(f"/{upload.pk}.txt")

    @pytest.mark.parametrize(
        "action", [Action.MISSING, Action.CORRUPTED, Action.PURGED]
    )
    def test_finished__whatever_came_after(self, client, bucket, action):
        first = post(client, {"size": 10})
        log.record(Upload.objects.get(), action, ACTOR)
        again = post(client, {"size": 10})
        assert again["Idempotent-Replayed"] == "true"
        assert again.content == first.content

    def test_other_body__422(self, client, bucket):
        first = post(client, {"size": 10})
        for body in (None, {"size": 11}):
            answer = post(client, body)
            assert (answer.status_code, slug(answer)) == (422, "idempotency-key-reused")
            assert answer.json()["upload_id"] == first.json()["id"]
        assert Upload.objects.count() == 1

    def test_bad_body__400_and_key_unused(self, client, bucket):
        assert post(client, {"size": 0}).status_code == 400
        assert post(client, {"size": 1}).status_code == 201

    @pytest.mark.parametrize("key", ["", "k" * 256, '"open', "\x7f"])
    def test_malformed__400(self, client, key):
        answer = post(client, key=key)
        assert (answer.status_code, slug(answer)) == (400, "invalid-idempotency-key")
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
        assert not Upload.objects.exists()

    def test_actors_do_not_meet(self, client, bucket, settings):
        owner = User.objects.create_user("olga")
        tokens = [
            create_token(actor=ACTOR, owner=owner, name=name, scopes=[Scope.UPLOAD])[1]
            for name in ("one", "two")
        ]
        answers = [post(client)]
        answers += [post(client, authorization=f"Bearer {token}") for token in tokens]
        settings.TRUSTED_PROXIES = 1
        answers.append(post(client, **{"x-forwarded-for": "192.0.2.9"}))
        assert [answer.status_code for answer in answers] == [201] * 4
        assert len({answer.json()["id"] for answer in answers}) == 4

    def test_without_header__two_uploads(self, client, bucket):
        for _ in range(2):
            client.generic("POST", "/api/upload-random")
        assert Upload.objects.count() == 2
        assert not Upload.objects.exclude(idempotency_key="").exists()
        assert not Upload.objects.exclude(attempt_started_at=None).exists()

    def test_another_secret_key__still_found(self, client, bucket, settings):
        first = post(client)
        settings.SECRET_KEY = "another" * 10
        again = post(client)
        assert again["Idempotent-Replayed"] == "true"
        assert again.content == first.content
        assert post(client, {"size": 3}).status_code == 422
