"""A client that checks from outside that the service works end to end.

Each step sends HTTP requests to a base URL; without a token, the object is read back
from the bucket.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings

from uploads.exceptions import StoreError
from uploads.storage import upload_storage

Outcome = Literal["ok", "failed", "skipped"]

WORD, MIRRORED = "fOoBar25", "47RAbOoF"
#: Bytes of the canary's object, unless the limit is lower: several lines, but little
#: storage.
SIZE = 1000
_TIMEOUT_SECONDS = 10
#: Answers are small, and so is the object that is read back.
_MAX_BYTES = 1024 * 1024


class CanaryError(Exception):
    """A step failed; the message has the reason."""


class _Skipped(Exception):  # noqa: N818 not an error
    pass


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one step; `duration_ms` is wall time."""

    name: str
    outcome: Outcome
    duration_ms: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _EveryStatus(urllib.request.HTTPErrorProcessor):
    """Returns responses of any status.

    By default urllib raises for 4xx and 5xx, and follows redirects, which would send
    the token to another host.
    """

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


_opener = urllib.request.build_opener(_EveryStatus)


class Canary:
    """Runs the steps in order; skips those that need an upload when there is none.

    `base_url` is the service's URL without a path. `token` is needed to verify, and
    to read back through the API; without it the object is read from the bucket.
    `behind_tls` sends X-Forwarded-Proto: https, as a TLS-terminating proxy does. Inside
    a cluster requests do not pass that proxy, and HTTPS_ONLY would redirect them.
    """

    def __init__(
        self, base_url: str, *, token: str = "", behind_tls: bool = False
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._behind_tls = behind_tls
        self._upload: dict[str, Any] | None = None
        self.request_id = f"canary-{secrets.token_hex(8)}"

    def steps(self) -> Iterator[Step]:
        """Run the steps and yield their outcomes; a failed step does not raise."""
        steps: dict[str, Callable[[], str]] = {
            "health": lambda: self._check_get("/api/health", {"status": "ok"}),
            "mirror": lambda: self._check_get(
                f"/api/mirror?word={WORD}", {"transformed": MIRRORED}
            ),
            "upload": self._create,
            "read back": self._read,
            "verify": self._verify,
        }
        for name, step in steps.items():
            started = time.monotonic()
            outcome: Outcome = "ok"
            try:
                note = step()
            except _Skipped as reason:
                outcome, note = "skipped", str(reason)
            except (CanaryError, StoreError) as error:
                outcome, note = "failed", str(error)
            duration_ms = round((time.monotonic() - started) * 1000, 1)
            yield Step(name, outcome, duration_ms, note)

    def _check_get(
        self, target: str, members: dict[str, Any], *, token: bool = False
    ) -> str:
        """Require a 200 with these members; return the step's note, which is empty."""
        self._expect(self._send("GET", target, token=token), 200, members)
        return ""

    def _create(self) -> str:
        size = min(SIZE, settings.UPLOAD_MAX_BYTES)
        body = json.dumps({"size": size}).encode()
        answer = self._send("POST", "/api/upload-random", body=body, token=True)
        upload = self._expect(answer, 201, {"uploaded": "ok", "size": size})
        missing = {"id", "key", "bucket", "sha256"} - upload.keys()
        if missing:
            raise CanaryError(f"the answer lacks {', '.join(sorted(missing))}")
        self._upload = upload
        return str(upload["key"])

    def _read(self) -> str:
        upload = self._require_upload()
        if self._token:
            digest = hashlib.sha256(self._content(upload)).hexdigest()
            source = "through the API"
        else:
            storage = upload_storage()
            if upload["bucket"] != storage.bucket_name:
                raise _Skipped(
                    f"the service uploads to {upload['bucket']}, this command is"
                    f" configured for {storage.bucket_name}"
                )
            digest = storage.read_digest(upload["key"])[0]
            source = "from the bucket"
        if digest != upload["sha256"]:
            raise CanaryError(
                f"SHA-256 {source} is {digest}, the upload's answer had {upload['sha256']}"
            )
        return source

    def _verify(self) -> str:
        upload = self._require_upload()
        if not self._token:
            raise _Skipped("needs a token (--token or CANARY_TOKEN)")
        path = f"/api/uploads/{upload['id']}"
        answer = self._send("POST", f"{path}/verify", token=True)
        self._expect(answer, 200, {"result": "verified"})
        return self._check_get(
            path, {"id": upload["id"], "status": "stored"}, token=True
        )

    def _require_upload(self) -> dict[str, Any]:
        if self._upload is None:
            raise _Skipped("nothing was uploaded")
        return self._upload

    def _content(self, upload: dict[str, Any]) -> bytes:
        answer = self._send("GET", f"/api/uploads/{upload['id']}/content", token=True)
        if answer.status == 302:
            # S3 rejects a presigned URL with a second authorization, such as the token.
            answer = self._send("GET", answer.headers.get("Location", ""))
        if answer.status != 200:
            raise CanaryError(_describe(answer))
        return answer.body

    def _expect(
        self, answer: Answer, status: int, members: dict[str, Any]
    ) -> dict[str, Any]:
        if answer.status != status:
            raise CanaryError(_describe(answer))
        try:
            body = dict(json.loads(answer.body))
        except (TypeError, ValueError) as error:
            raise CanaryError(
                f"the answer is not a JSON object: {answer.body[:80]!r}"
            ) from error
        for name, wanted in members.items():
            if body.get(name) != wanted:
                raise CanaryError(f"{name} is {body.get(name)!r}, not {wanted!r}")
        return body

    def _send(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        token: bool = False,
    ) -> Answer:
        url = urllib.parse.urljoin(f"{self._base_url}/", target)
        if not url.startswith(("http://", "https://")):
            # `target` may come from a redirect, and urllib opens the file of a file:// URL.
            raise CanaryError(f"redirected to {url[:80]!r}, which is not an HTTP URL")
        headers = {"User-Agent": "mirrorsite-canary", "X-Request-ID": self.request_id}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._behind_tls and url.startswith(f"{self._base_url}/"):
            headers["X-Forwarded-Proto"] = "https"
        if token and self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return _request(method, url, headers, body)


def _request(
    method: str, url: str, headers: dict[str, str], body: bytes | None
) -> Answer:
    """Send a request; raises `CanaryError` if there is no answer."""
    try:
        # `_send` checks the scheme of a redirect; other URLs are the operator's.
        request = urllib.request.Request(  # noqa: S310
            url, data=body, headers=headers, method=method
        )
        with _opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return Answer(answer.status, answer.headers, answer.read(_MAX_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        reason = str(cause) or type(error).__name__
        host = urllib.parse.urlsplit(url).netloc  # a presigned URL is a secret
        raise CanaryError(f"no answer from {host}: {reason}") from error


def _describe(answer: Answer) -> str:
    text = answer.body[:200].decode("utf-8", "replace")
    return f"answered {answer.status}: {' '.join(text.split())}"
