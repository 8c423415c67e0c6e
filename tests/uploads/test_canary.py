from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from mirrorsite.tokens.models import Scope
from tests.fake_store import Answer, FakeStore, Request
from tests.tokens import new_token
from tests.uploads.making import actions, run
from uploads.canary import Canary
from uploads.models import Upload

CONTENT = b"1234\n" * 200
UPLOAD = {
    "id": "01900000-0000-7000-8000-000000000001",
    "key": "uploads/x.txt",
    "bucket": "elsewhere",
    "size": len(CONTENT),
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
    "status": "stored",
}


class FakeService(FakeStore):
    """Answers as told."""

    def __init__(self) -> None:
        super().__init__()
        path = f"/api/uploads/{UPLOAD['id']}"
        self.answers: dict[str, tuple[int, Any]] = {
            "GET /api/health": (200, {"status": "ok"}),
            "GET /api/mirror?word=fOoBar25": (200, {"transformed": "47RAbOoF"}),
            "POST /api/upload-random": (201, {"uploaded": "ok", **UPLOAD}),
            f"GET {path}/content": (302, f"{self.url}/bucket/x.txt?X-Amz-Signature=1"),
            "GET /bucket/x.txt?X-Amz-Signature=1": (200, CONTENT),
            f"POST {path}/verify": (200, {"result": "verified"}),
            f"GET {path}": (200, UPLOAD),
        }
        self.plan = self.told

    def told(self, request: Request) -> Answer:
        line = f"{request.method} {request.target}"
        status, body = self.answers.get(line, (404, {"title": "Not Found"}))
        if status == 302:
            return Answer(status, headers={"Location": body})
        return Answer(
            status, body if isinstance(body, bytes) else json.dumps(body).encode()
        )

    @property
    def asked(self) -> dict[str, Request]:
        """Return the last request of each line."""
        return {f"{r.method} {r.target}": r for r in self.requests}


@pytest.fixture
def fake() -> Iterator[FakeService]:
    service = FakeService()
    yield service
    service.stop()


def outcomes(text: str) -> dict[str, str]:
    return {step["name"]: step["outcome"] for step in json.loads(text)["steps"]}


def canary(fake: FakeService, *more: str) -> tuple[int, str]:
    return run("canary", "--base-url", fake.url, *more)


ALL_OK = dict.fromkeys(("health", "mirror", "upload", "read back", "verify"), "ok")


class TestCanary:
    def test_everything(self, fake):
        status, text = canary(fake, "--token", "secret", "--json")
        assert (status, outcomes(text)) == (0, ALL_OK)
        report = json.loads(text)
        assert report["ok"] is True
        assert all(step["duration_ms"] > 0 for step in report["steps"])
        # One id for all its requests, so that the logs can be searched for it.
        ids = {request.headers["X-Request-Id"] for request in fake.requests}
        assert ids == {report["request_id"]}

    def test_token__only_where_it_belongs(self, fake):
        """Not to the presigned URL, which may be another company's host.

        The line end of the token's file is no part of it.
        """
        canary(fake, "--token", "secret\n")
        with_token = {
            line for line, r in fake.asked.items() if "Authorization" in r.headers
        }
        path = f"/api/uploads/{UPLOAD['id']}"
        assert with_token == {
            "POST /api/upload-random",
            f"GET {path}/content",
            f"POST {path}/verify",
            f"GET {path}",
        }
        sent = fake.asked["POST /api/upload-random"]
        assert sent.headers["Authorization"] == "Bearer secret"

    def test_no_token__says_what_it_skipped(self, fake):
        status, text = canary(fake)
        assert status == 0
        lines = text.splitlines()
        assert [line.split()[0] for line in lines] == [
            "health", "mirror", "upload", "read", "verify",
        ]  # fmt: skip
        assert "SKIPPED" in lines[3]
        assert "the service uploads to elsewhere" in lines[3]
        assert "SKIPPED" in lines[4]
        assert "needs a token" in lines[4]

    @pytest.mark.parametrize(
        ("request_line", "answer", "failed"),
        [
            ("GET /api/health", (200, {"status": "fine"}), ["health"]),
            ("GET /api/mirror?word=fOoBar25", (200, b"<html>"), ["mirror"]),
            ("POST /api/upload-random", (201, {"uploaded": "ok"}), ["upload"]),
            ("GET /bucket/x.txt?X-Amz-Signature=1", (200, b"other"), ["read back"]),
            (
                f"POST /api/uploads/{UPLOAD['id']}/verify",
                (200, {"result": "corrupted"}),
                ["verify"],
            ),
            (
                f"GET /api/uploads/{UPLOAD['id']}",
                (200, UPLOAD | {"status": "corrupted"}),
                ["verify"],
            ),
        ],
    )
    def test_wrong(self, fake, request_line, answer, failed):
        fake.answers[request_line] = answer
        status, text = canary(fake, "--token", "secret", "--json")
        assert status == 1
        results = outcomes(text)
        assert [name for name, outcome in results.items() if outcome == "failed"] == (
            failed
        )
        if failed == ["upload"]:
            assert results["read back"] == results["verify"] == "skipped"

    @pytest.mark.parametrize("https_only", [True, False])
    def test_https_only__inside_the_cluster(self, fake, settings, https_only):
        """Past the proxy that ends TLS, it says what the proxy would; only there."""
        settings.HTTPS_ONLY = https_only
        assert canary(fake, "--token", "secret")[0] == 0
        for line in ("GET /api/health", "POST /api/upload-random"):
            said = fake.asked[line].headers.get("X-Forwarded-Proto")
            assert said == ("https" if https_only else None)

    def test_nobody_there(self):
        steps = list(Canary("http://127.0.0.1:1").steps())
        assert [step.outcome for step in steps] == [
            "failed", "failed", "failed", "skipped", "skipped",
        ]  # fmt: skip
        assert "Connection refused" in steps[0].note

    @pytest.mark.parametrize("token", ["hush\nhush", "hu sh", "hüsh"])
    def test_token__refused_and_not_shown(self, token):
        with pytest.raises(CommandError) as caught:
            call_command("canary", "--token", token)
        assert "the token has a character that is not allowed in tokens" in str(
            caught.value
        )
        assert token not in str(caught.value)

    def test_sent_to_a_file(self, fake, tmp_path):
        """Urllib would read it; it is no business of the service's."""
        here = tmp_path / "content"
        here.write_bytes(CONTENT)
        content = f"GET /api/uploads/{UPLOAD['id']}/content"
        fake.answers[content] = (302, here.as_uri())
        status, text = canary(fake, "--token", "secret", "--json")
        assert (status, outcomes(text)["read back"]) == (1, "failed")
        assert "is not an HTTP URL" in json.loads(text)["steps"][3]["note"]

    def test_settings(self, fake, settings):
        settings.CANARY_BASE_URL = fake.url
        settings.CANARY_TOKEN = "secret"
        status, text = run("canary", "--json")
        assert (status, outcomes(text)) == (0, ALL_OK)

    def test_smaller_limit__no_larger_upload(self, fake, settings):
        settings.UPLOAD_MAX_BYTES = 10
        answer = {"uploaded": "ok", **UPLOAD, "size": 10}
        fake.answers["POST /api/upload-random"] = (201, answer)
        status, text = canary(fake, "--token", "secret", "--json")
        assert (status, outcomes(text)) == (0, ALL_OK)
        assert fake.asked["POST /api/upload-random"].body == b'{"size": 10}'


@pytest.mark.service
def test_real_service(live_service, bucket):
    """Without a token up to the bytes in the bucket; with one, all through the API."""
    arguments = ("canary", "--base-url", live_service.url, "--json")
    status, text = run(*arguments)
    assert (status, outcomes(text)) == (0, ALL_OK | {"verify": "skipped"})

    _, secret = new_token(Scope.UPLOAD, Scope.READ, name="canary")
    status, text = run(*arguments, "--token", secret)
    assert (status, outcomes(text)) == (0, ALL_OK)
    assert json.loads(text)["steps"][3]["note"] == "through the API"
    last = Upload.objects.get(requester_name="token:canary")
    assert actions(last) == ["requested", "stored", "downloaded", "verified"]
