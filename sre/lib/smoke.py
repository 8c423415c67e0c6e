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
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

USAGE = "sre/smoke [OPTION …] URL"
MIRROR = "/api/mirror"
UPLOAD = "/api/upload-random"


class CheckFailedError(AssertionError):
    """What was answered is not what was promised."""


class Answer(NamedTuple):
    """One response; the body is decoded where it is JSON."""

    status: int
    headers: http.client.HTTPMessage
    body: Any

    def member(self, name: str) -> Any:
        """Return a member of the body, or the body where it is no JSON object."""
        return self.body.get(name) if isinstance(self.body, dict) else self.body


class Client(NamedTuple):
    """Sends one request per connection, without a proxy and without redirects."""

    url: str
    headers: dict[str, str]

    def ask(
        self, method: str, path: str, body: bytes | None = None, request_id: str = ""
    ) -> Answer:
        """Send one request; path and query are percent-encoded."""
        address = urlsplit(self.url)
        kind = (
            http.client.HTTPSConnection
            if address.scheme == "https"
            else http.client.HTTPConnection
        )
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        if request_id:
            headers["X-Request-ID"] = request_id
        connection = kind(address.netloc, timeout=30)
        try:
            target = address.path.rstrip("/") + path
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            content: Any = response.read()
        finally:
            connection.close()
        try:
            content = json.loads(content)
        except ValueError:
            content = content[:200]
        return Answer(response.status, response.headers, content)


Check = Callable[[Client], None]


def same(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise CheckFailedError(f"{what}: {got!r} instead of {wanted!r}")


def answered(path: str, wanted: dict[str, str]) -> Check:
    """Return a check that a GET is answered with this body."""

    def check(client: Client) -> None:
        answer = client.ask("GET", path)
        same("status", answer.status, 200)
        same("body", answer.body, wanted)

    return check


def mirrored(query: str, wanted: str) -> Check:
    """Return a check that the word in `query`, percent-encoded, becomes `wanted`."""
    return answered(f"{MIRROR}?word={query}", {"transformed": wanted})


def refused(status: int, method: str, path: str, body: bytes | None = None) -> Check:
    """Return a check that the answer is a problem (RFC 9457) with this status."""

    def check(client: Client) -> None:
        answer = client.ask(method, path, body)
        same("status", answer.status, status)
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        same("content type", kind, "application/problem+json")
        same("its status member", answer.member("status"), status)

    return check


def ready(client: Client) -> None:
    answer = client.ask("GET", "/api/ready")
    checks = answer.member("checks")
    if not isinstance(checks, dict):
        raise CheckFailedError(f"no checks in {answer.status} {answer.body!r}")
    failed = {name: result for name, result in checks.items() if result != "ok"}
    same("failed checks", failed, {})
    same("answer", (answer.status, answer.member("status")), (200, "ok"))


def request_id(client: Client) -> None:
    sent = f"smoke-{secrets.token_hex(8)}"
    answer = client.ask("GET", "/api/health", request_id=sent)
    same("X-Request-ID", answer.headers.get("X-Request-ID"), sent)


def stored(size: int | None) -> Check:
    """Return a check that an upload is stored, with the size asked for."""
    body = None if size is None else json.dumps({"size": size}).encode()

    def check(client: Client) -> None:
        answer = client.ask("POST", UPLOAD, body)
        same("status", answer.status, 201)
        same("uploaded", answer.member("uploaded"), "ok")
        same("status of the record", answer.member("status"), "stored")
        if size is not None:
            same("size", answer.member("size"), size)
        needed = ("id", "key", "bucket", "sha256", "etag", "created_at")
        missing = [name for name in needed if not answer.member(name)]
        same("missing members", missing, [])
        same("Location header", bool(answer.headers.get("Location")), True)

    return check


CHECKS: dict[str, Check] = {
    "health answers ok": answered("/api/health", {"status": "ok"}),
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
    parser = argparse.ArgumentParser(prog="sre/smoke", usage=USAGE)
    parser.add_argument("url")
    parser.add_argument("--host")
    parser.add_argument("--behind-tls", action="store_true")
    parser.add_argument("--no-upload", action="store_true")
    parser.add_argument("--wait", type=float, default=0.0)
    options = parser.parse_args(arguments)
    address = urlsplit(options.url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        print(f"the address is {options.url!r}; give one like http://127.0.0.1:4545")
        return 2
    headers = {}
    if options.host:
        headers["Host"] = options.host
    if options.behind_tls:
        headers["X-Forwarded-Proto"] = "https"
    if token := os.environ.get("SMOKE_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    client = Client(options.url, headers)
    if options.wait and not _wait(client, options.wait):
        print(f"FAIL  nothing healthy at {options.url} within {options.wait:g} s")
        return 1
    wanted = CHECKS if options.no_upload else CHECKS | UPLOADING
    failed = 0
    for name, check in wanted.items():
        try:
            check(client)
        except (CheckFailedError, OSError, http.client.HTTPException) as error:
            failed += 1
            print(f"FAIL  {name}: {error}")
        else:
            print(f"ok    {name}")
    print(f"{len(wanted) - failed} passed, {failed} failed: {options.url}")
    return 1 if failed else 0


def _wait(client: Client, seconds: float) -> bool:
    """Ask for health until it answers 200 or the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if client.ask("GET", "/api/health").status == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.5)
    return False


if __name__ == "__main__":
    sys.exit(main())
