"""Ask a running service everything it promises, and what it must refuse.

Standard library only. Started by sre/smoke, which prints the help.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

USAGE = "sre/smoke [OPTION …] URL"


class CheckFailedError(AssertionError):
    """What was answered is not what was promised."""


@dataclass(frozen=True)
class Answer:
    """One response, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise CheckFailedError(f"no JSON: {self.body[:200]!r}") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        """Let a redirect be an answer like others."""


@dataclass
class Client:
    """Sends one request per connection to the service at `url`."""

    url: str
    host: str | None = None
    token: str | None = None
    behind_tls: bool = False
    timeout_seconds: float = 30

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; `target` is path and query, percent-encoded."""
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if self.host:
            sent["Host"] = self.host
        if self.behind_tls:
            sent["X-Forwarded-Proto"] = "https"
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(
            self.url.rstrip("/") + target,
            body,
            sent | dict(headers or {}),
            method=method,
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), _NoRedirects
        )
        try:
            response = opener.open(request, timeout=self.timeout_seconds)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, names, response.read())


def same(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise CheckFailedError(f"{what} is {got!r}, not {wanted!r}")


def problem(answer: Answer, status: int) -> None:
    """Check that an error has the promised form (RFC 9457) and names its request."""
    same("status", answer.status, status)
    kind = answer.headers.get("content-type", "").partition(";")[0]
    same("content type", kind, "application/problem+json")
    same("its status member", answer.json().get("status"), status)


Check = Callable[[Client], None]


def health(client: Client) -> None:
    answer = client.ask("GET", "/api/health")
    same("status", answer.status, 200)
    same("body", answer.json(), {"status": "ok"})


def ready(client: Client) -> None:
    answer = client.ask("GET", "/api/ready")
    checks = answer.json().get("checks", {})
    failed = {name: result for name, result in checks.items() if result != "ok"}
    same("what is not ok", failed, {})
    same("answer", (answer.status, answer.json()["status"]), (200, "ok"))


def request_id(client: Client) -> None:
    sent = f"smoke-{secrets.token_hex(8)}"
    answer = client.ask("GET", "/api/health", headers={"X-Request-ID": sent})
    same("X-Request-ID", answer.headers.get("x-request-id"), sent)


def mirrored(query: str, wanted: str) -> Check:
    """Return a check that the word in `query`, percent-encoded, becomes `wanted`."""

    def check(client: Client) -> None:
        answer = client.ask("GET", f"/api/mirror?word={query}")
        same("status", answer.status, 200)
        same("body", answer.json(), {"transformed": wanted})

    return check


def refused(status: int, method: str, target: str, body: bytes | None = None) -> Check:
    """Return a check that the request is answered with the problem `status`."""
    return lambda client: problem(client.ask(method, target, body), status)


def stored(size: int | None) -> Check:
    """Return a check that an upload is stored, with the size asked for."""
    body = None if size is None else json.dumps({"size": size}).encode()

    def check(client: Client) -> None:
        answer = client.ask("POST", "/api/upload-random", body)
        same("status", answer.status, 201)
        record = answer.json()
        same("uploaded", record.get("uploaded"), "ok")
        same("status of the record", record.get("status"), "stored")
        if size is not None:
            same("size", record.get("size"), size)
        for name in ("id", "key", "bucket", "sha256", "etag", "created_at"):
            if not record.get(name):
                raise CheckFailedError(f"{name} is missing in {record}")
        if not answer.headers.get("location"):
            raise CheckFailedError("no Location header")

    return check


MIRROR = "/api/mirror"
UPLOAD = "/api/upload-random"
CHECKS: dict[str, Check] = {
    "health answers ok": health,
    "ready: database, migrations, bucket": ready,
    "request id is given back": request_id,
    "health by POST: 405": refused(405, "POST", "/api/health"),
    "unknown path: 404": refused(404, "GET", "/api/nothing-here"),
    "mirror fOoBar25": mirrored("fOoBar25", "47RAbOoF"),
    "mirror abcABC123987": mirrored("abcABC123987", "210678cbaCBA"),
    "mirror luca": mirrored("luca", "ACUL"),
    "mirror of an empty word": mirrored("", ""),
    "mirror keeps e + accent whole": mirrored("ae%CC%81", "E\u0301A"),
    "mirror without word: 400": refused(400, "GET", MIRROR),
    "mirror with two words: 400": refused(400, "GET", f"{MIRROR}?word=a&word=b"),
    "mirror not UTF-8: 400": refused(400, "GET", f"{MIRROR}?word=%FF"),
    "mirror of 2,001 characters: 400": refused(
        400, "GET", f"{MIRROR}?word={'a' * 2001}"
    ),
    "upload by GET: 405": refused(405, "GET", UPLOAD),
    "upload of size 0: 400": refused(400, "POST", UPLOAD, b'{"size": 0}'),
    "upload of a size as text: 400": refused(400, "POST", UPLOAD, b'{"size": "9"}'),
    "upload of an unknown field: 400": refused(400, "POST", UPLOAD, b'{"length": 9}'),
    "upload of a list: 400": refused(400, "POST", UPLOAD, b"[]"),
    "upload of broken JSON: 400": refused(400, "POST", UPLOAD, b'{"size":'),
}
#: These leave something in the bucket.
UPLOADING: dict[str, Check] = {
    "upload without a body: 201": stored(None),
    "upload of 10,000 bytes: 201": stored(10_000),
}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    address = urlsplit(options.url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        print(f"the address is {options.url!r}; give one like http://127.0.0.1:4545")
        return 2
    client = Client(
        options.url,
        options.host,
        os.environ.get("SMOKE_TOKEN"),
        options.behind_tls,
    )
    if not _wait(client, options.wait):
        print(f"FAIL  nothing healthy at {options.url} within {options.wait:g} s")
        return 1
    failed = passed = 0
    wanted = CHECKS if options.no_upload else CHECKS | UPLOADING
    for name, check in wanted.items():
        try:
            check(client)
        except (CheckFailedError, OSError, http.client.HTTPException) as error:
            failed += 1
            print(f"FAIL  {name}: {error}")
        else:
            passed += 1
            print(f"ok    {name}")
    print(f"{passed} passed, {failed} failed: {options.url}")
    return 1 if failed else 0


def _wait(client: Client, seconds: float) -> bool:
    """Wait for health; at once when no time is given, as the checks say it then."""
    deadline = time.monotonic() + seconds
    while seconds:
        try:
            if client.ask("GET", "/api/health").status == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.5)
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sre/smoke", usage=USAGE)
    parser.add_argument("url")
    parser.add_argument("--host")
    parser.add_argument("--behind-tls", action="store_true")
    parser.add_argument("--no-upload", action="store_true")
    parser.add_argument("--wait", type=float, default=0.0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
