"""One way to provoke each type of problem."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client

from mirrorsite.rate_limits import Usage, limiter
from mirrorsite.tokens.models import Scope
from tests.faulty_store import FaultyStore
from tests.mirrorsite.connections import Server
from tests.tokens import bearer, new_token
from tests.uploads.making import new_upload
from uploads.bulkhead import Bulkhead
from uploads.exceptions import TrailUnavailableError

REQUEST_ID = "0af7651916cd43dd8448eb211c80319c"
UNKNOWN = "01937b5e-2f0a-7c3d-9a41-5b7f3f0e8c11"
_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@dataclass
class Answer:
    """A problem as it came."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class World:
    """What the provocations use."""

    client: Client
    monkeypatch: pytest.MonkeyPatch
    store: FaultyStore

    def ask(self, method: str, target: str, body: Any = None, **extra: Any) -> Answer:
        headers = {"X-Request-ID": REQUEST_ID, **extra.pop("headers", {})}
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        self.client.raise_request_exception = False
        response = self.client.generic(
            method,
            target,
            body or "",
            content_type=extra.pop("content_type", "application/json"),
            headers=headers,
            **extra,
        )
        return Answer(
            response.status_code, dict(response.headers), json.loads(response.content)
        )

    def upload(self, body: Any = None, **extra: Any) -> Answer:
        return self.ask("POST", "/api/upload-random", body, **extra)

    def token(self, scope: Scope = Scope.READ) -> dict[str, str]:
        """Return the header of a new token."""
        return bearer(new_token(scope, name=secrets.token_hex(8))[1])

    def read(self, rest: str) -> Answer:
        return self.ask("GET", "/api/uploads" + rest, headers=self.token())

    def record(self, status: str) -> str:
        """Write an upload with this status, and return its id."""
        upload = new_upload(status=status)
        upload.save()
        return str(upload.pk)

    def content(self, status: str) -> Answer:
        return self.read(f"/{self.record(status)}/content")

    def mirror(self, query: str = "word=a") -> Answer:
        return self.ask("GET", "/api/mirror?" + query)

    def mirror_raises(self, error: Exception) -> Answer:
        self.monkeypatch.setattr("transforms.views.mirror", Mock(side_effect=error))
        return self.mirror()

    def raw(self, sent: bytes, seconds: float = 0) -> Answer:
        """Send bytes to the HTTP protocol, and wait as if for so many seconds."""
        server = Server()
        try:
            connection = server.connect()
            connection.send(sent)
            return _unread(connection.after(seconds))
        finally:
            server.close()


def _unread(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields = (line.split(": ", 1) for line in lines)
    return Answer(
        int(first.split()[1]),
        {name.title().replace("-Id", "-ID"): value for name, value in fields},
        json.loads(body),
    )


def _server_busy(world: World) -> Answer:
    world.monkeypatch.setattr("mirrorsite.server.http_protocol.MAX_CONNECTIONS", 0)
    return world.raw(b"")


def _trail_away(world: World) -> Answer:
    world.monkeypatch.setattr(
        "uploads.transitions.record_intent",
        Mock(side_effect=TrailUnavailableError("internal name")),
    )
    return world.upload()


def _store_says(fault: str) -> Callable[[World], Answer]:
    def provoke(world: World) -> Answer:
        world.store.always("PUT", fault)
        return world.upload()

    return provoke


def _store_busy(world: World) -> Answer:
    world.monkeypatch.setattr(
        "uploads.api.views.store_bulkhead", lambda: Bulkhead(0, 1, max_wait_seconds=0)
    )
    return world.upload()


def _bad_page(world: World) -> Answer:
    """Let something below all views answer with a page of its own."""

    def page(self: Any, request: Any) -> Any:
        return HttpResponse("<h1>Bad</h1>", status=400)

    world.monkeypatch.setattr(
        "django.middleware.security.SecurityMiddleware.process_request", page
    )
    return world.mirror()


def _without_csrf_token(world: World) -> Answer:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(_staff())
    upload_id = world.record("stored")
    return replace(world, client=strict).ask("POST", f"/api/uploads/{upload_id}/verify")


def _staff() -> Any:
    found, _ = User.objects.get_or_create(
        username="staff", is_staff=True, is_superuser=True
    )
    return found


def _too_often(world: World) -> Answer:
    # A quota of none: the first request is one too many, whatever came before.
    usage = Usage(60, 60, 61, 30)
    world.monkeypatch.setattr(limiter, "hit", lambda client: usage)
    world.monkeypatch.setattr(settings, "UPLOAD_RATE_LIMIT", (60, 60))
    return world.upload()


def _key_reused(world: World) -> Answer:
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    world.upload({"size": 1}, headers=headers)
    return world.upload({"size": 2}, headers=headers)


def _key_in_use(world: World) -> Answer:
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    # The worker dies between the intent and the act.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "uploads.storage.UploadStorage.put_new", Mock(side_effect=SystemExit)
        )
        with pytest.raises(SystemExit):
            world.upload(headers=headers)
    return world.upload(headers=headers)


def _not_ready(world: World) -> Answer:
    world.store.always("HEAD", "503")
    return world.ask("GET", "/api/ready")


PROVOCATIONS: dict[str, Callable[[World], Answer]] = {
    "bad-request": _bad_page,
    "malformed-http": lambda w: w.raw(b"x\r\n\r\n"),
    "host-not-allowed": lambda w: w.ask(
        "GET", "/api/health", headers={"Host": "elsewhere.example"}
    ),
    "csrf-failed": _without_csrf_token,
    "not-authenticated": lambda w: w.ask("GET", "/api/uploads"),
    "authentication-failed": lambda w: w.ask(
        "GET", "/api/uploads", headers={"Authorization": "Bearer mst_unknown_token"}
    ),
    "permission-denied": lambda w: w.ask(
        "GET", "/api/uploads", headers=w.token(Scope.UPLOAD)
    ),
    "not-found": lambda w: w.ask("GET", "/api/nothing"),
    "method-not-allowed": lambda w: w.ask("DELETE", "/api/mirror"),
    "request-timeout": lambda w: w.raw(b"GET / HTTP/1.1\r\n", 60),
    "body-too-large": lambda w: w.upload({"size": " " * 20_000}),
    "request-line-too-long": lambda w: w.raw(b"GET /" + b"x" * 30_000),
    "unsupported-media-type": lambda w: w.upload("size=10", content_type="text/plain"),
    "expectation-failed": lambda w: w.raw(_HEAD + b"Expect: x\r\n\r\n"),
    "throttled": _too_often,
    "headers-too-large": lambda w: w.raw(_HEAD + b"X: x\r\n" * 100),
    "internal-error": lambda w: w.mirror_raises(RuntimeError("internal name")),
    "transfer-coding-not-implemented": lambda w: w.raw(
        _HEAD + b"Transfer-Encoding: x\r\n\r\n"
    ),
    "database-unavailable": lambda w: w.mirror_raises(OperationalError("host db")),
    "server-busy": _server_busy,
    "parse-error": lambda w: w.upload('{"size": 1'),
    "invalid-parameter": lambda w: w.read("?limit=0"),
    "unknown-parameter": lambda w: w.read("?colour=red"),
    "repeated-parameter": lambda w: w.read("?limit=1&limit=2"),
    "body-not-object": lambda w: w.upload([1]),
    "unknown-field": lambda w: w.upload({"length": 1}),
    "invalid-size": lambda w: w.upload({"size": 0}),
    "word-missing": lambda w: w.mirror(""),
    "word-repeated": lambda w: w.mirror("word=a&word=b"),
    "word-not-utf8": lambda w: w.mirror("word=%FF"),
    "word-too-long": lambda w: w.mirror("word=" + "a" * 2001),
    "store-refused": _store_says("403"),
    "store-unavailable": _store_says("503"),
    "store-busy": _store_busy,
    "trail-unavailable": _trail_away,
    "not-ready": _not_ready,
    "invalid-idempotency-key": lambda w: w.upload(
        headers={"Idempotency-Key": "é".encode().decode("latin-1")}
    ),
    "idempotency-key-in-use": _key_in_use,
    "idempotency-key-reused": _key_reused,
    "upload-not-found": lambda w: w.read("/" + UNKNOWN),
    "upload-not-stored": lambda w: w.content("failed"),
    "upload-not-verifiable": lambda w: w.ask(
        "POST", f"/api/uploads/{w.record('failed')}/verify", headers=w.token()
    ),
    "object-missing": lambda w: w.content("missing"),
    "object-corrupted": lambda w: w.content("corrupted"),
    "upload-purged": lambda w: w.content("purged"),
}
