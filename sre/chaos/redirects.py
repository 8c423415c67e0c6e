"""A web server that redirects every request, in the place of a store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def redirecting(port: int, target: str) -> Iterator[list[str]]:
    """Answer 307 to `target` on the port; yield the growing list of requests."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def redirect(self) -> None:
            requests.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response_only(307)
            self.send_header("Location", target + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = redirect  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # the client closed its connection
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
