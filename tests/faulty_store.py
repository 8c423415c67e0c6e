"""A proxy in front of the real S3 server that misbehaves on demand."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: What to do with a request: method and path in, one of the names of `FAULTS` out.
Plan = Callable[[str, str], str]

FAULTS = (
    "pass",  # forward, return the answer
    "lose_answer",  # forward, then close without an answer
    "lose_request",  # close without forwarding
    "hang",  # do not answer until the proxy is stopped
    "500",
    "503",
    "403",
)


#: How long a request hangs when the proxy is not stopped: longer than any client waits.
HANG_SECONDS = 120.0


class FaultyStore:
    """Forwards to `port`, save where the plan says otherwise."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.plan: Plan = lambda method, path: "pass"
        self.requests: list[tuple[str, str]] = []
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.store = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def first(self, method: str, fault: str) -> None:
        """Let the first request of this method meet the fault; the rest pass."""
        met: list[str] = []

        def plan(asked: str, path: str) -> str:
            if asked == method and not met:
                met.append(path)
                return fault
            return "pass"

        self.plan = plan

    def always(self, method: str, fault: str) -> None:
        """Let every request of this method meet the fault."""
        self.plan = lambda asked, path: fault if asked == method else "pass"

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    store: FaultyStore


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client went away
            self.close_connection = True

    def do(self) -> None:
        self.server.store.requests.append((self.command, self.path))
        fault = self.server.store.plan(self.command, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault == "hang":
            self.server.store.released.wait(HANG_SECONDS)
        if fault in {"hang", "lose_request"}:
            self.close_connection = True
            return
        if fault.isdigit():
            self._answer(int(fault), {}, b"")
            return
        status, headers, content = self._forward(body)
        if fault == "lose_answer":
            self.close_connection = True
            return
        self._answer(status, headers, content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do  # noqa: N815

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = http.client.HTTPConnection(
            "127.0.0.1", self.server.store.port, timeout=30
        )
        upstream.putrequest(
            self.command, self.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in self.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders(body)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        return answer.status, dict(answer.getheaders()), content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass
