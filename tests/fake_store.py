"""A server that takes the place of S3, of a proxy and of a token service, and records."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_ETAG = '"0123456789abcdef0123456789abcdef"'


@dataclass(frozen=True)
class Request:
    method: str
    #: As sent: a path, an address (to a proxy), or host and port (CONNECT).
    target: str
    headers: Message
    body: bytes

    @property
    def host(self) -> str:
        return self.headers.get("Host", "")

    @property
    def credential(self) -> list[str]:
        """Access key, date, region and service that the request is signed for."""
        scope = self.headers.get("Authorization", "").partition("Credential=")[2]
        return scope.partition(",")[0].split("/")


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    #: "head" or "content": what is sent a byte at a time, for `DRIP_SECONDS`.
    drips: str = ""


#: Close the connection instead.
NO_ANSWER = Answer(0)

#: How long the slow part of an answer takes.
DRIP_SECONDS = 5.0

Plan = Callable[[Request], Answer | None]


class Server:
    """An HTTP server whose answers are `answer`'s; keeps the requests."""

    def __init__(
        self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.requests: list[Request] = []
        self._server = _server_class(host)((host, 0), _Handler)
        self._server.store = self
        self.port = self._server.server_port
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self.port}"
        if tls is not None:
            # In each connection's own thread: a client may break off the handshake.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.url = f"https://localhost:{self.port}"
        # `stop` waits until it looks again whether to stop: after 10 ms.
        threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        ).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError


class FakeStore(Server):
    """Answers as S3 does, unless the plan returns another answer.

    `/credentials` returns new temporary credentials each time.
    """

    def __init__(
        self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(host, tls)
        self.plan: Plan = lambda request: None
        self.credentials_seconds = 3600
        self.credentials_made = 0

    def answer(self, request: Request) -> Answer:
        return self.plan(request) or self._as_s3(request)

    def _as_s3(self, request: Request) -> Answer:
        if request.target == "/credentials":
            self.credentials_made += 1
            expires = datetime.now(UTC) + timedelta(seconds=self.credentials_seconds)
            return Answer(
                200,
                json.dumps(
                    {
                        "AccessKeyId": f"KEY{self.credentials_made}",
                        "SecretAccessKey": "secret",
                        "Token": f"token-{self.credentials_made}",
                        "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    }
                ).encode(),
            )
        if request.method == "CONNECT":
            return Answer(502)
        if request.method == "DELETE":
            return Answer(204)
        if request.method == "GET" and "?list-type=2" in request.target:
            return Answer(
                200,
                f"<ListBucketResult {_NAMESPACE}><IsTruncated>false</IsTruncated>"
                "</ListBucketResult>".encode(),
            )
        if request.method == "POST" and request.target.endswith("uploads"):
            return Answer(
                200,
                f"<InitiateMultipartUploadResult {_NAMESPACE}><UploadId>an+id/=</UploadId>"
                "</InitiateMultipartUploadResult>".encode(),
            )
        if request.method == "POST":
            return Answer(
                200,
                f"<CompleteMultipartUploadResult {_NAMESPACE}><ETag>{_ETAG}</ETag>"
                "</CompleteMultipartUploadResult>".encode(),
            )
        return Answer(200, headers={"ETag": _ETAG})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    store: Server


def _server_class(host: str) -> type[_Server]:
    class OfFamily(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return OfFamily


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client closed the connection
            self.close_connection = True

    def do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, self.headers, body)
        self.server.store.requests.append(request)
        answer = self.server.store.answer(request)
        if answer is NO_ANSWER:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:  # HEAD tells an object's
            self.send_header("Content-Length", str(len(answer.body)))
        if answer.drips == "head":
            self.flush_headers()
            self._drip(b"X-Drip: " + b"0" * 91 + b"\r\n")
        self.end_headers()
        if answer.drips == "content":
            self._drip(answer.body)
        elif self.command != "HEAD":
            self.wfile.write(answer.body)

    def _drip(self, data: bytes) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            time.sleep(DRIP_SECONDS / len(data))

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_CONNECT = do  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        pass
