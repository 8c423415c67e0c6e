"""The small balancer of the rolling deploy: turns, and what being taken out means."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from sre.lib.balancer import Balancer
from sre.lib.ports import free_port
from sre.lib.processes import wait_until


class Backend(ThreadingHTTPServer):
    """Answers with its own port; /held waits until it is let go."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.held = threading.Event()
        self.go = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Backend

    def do_GET(self) -> None:
        if self.path == "/held":
            self.server.held.set()
            self.server.go.wait(10)
        body = str(self.server.port).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    made = [Backend(), Backend()]
    yield made
    for backend in made:
        backend.go.set()
        backend.shutdown()
        backend.server_close()


@pytest.fixture
def balancer() -> Iterator[Balancer]:
    made = Balancer()
    yield made
    made.close()


def ask(balancer: Balancer, path: str = "/") -> int:
    address = urlsplit(balancer.url)
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=10)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return int(connection.getresponse().read())
    finally:
        connection.close()


def test_turns(balancer: Balancer, backends: list[Backend]) -> None:
    for backend in backends:
        balancer.add(backend.port)
    assert {ask(balancer) for _ in range(4)} == {backend.port for backend in backends}


def test_taken_out__keeps_what_it_has(
    balancer: Balancer, backends: list[Backend]
) -> None:
    first, second = backends
    balancer.add(first.port)
    answers: list[int] = []
    held = threading.Thread(target=lambda: answers.append(ask(balancer, "/held")))
    held.start()
    assert first.held.wait(10)
    balancer.add(second.port)
    balancer.take_out(first.port)
    assert {ask(balancer) for _ in range(3)} == {second.port}
    assert balancer.open[first.port] == 1
    first.go.set()
    held.join(10)
    assert answers == [first.port]
    assert wait_until(lambda: not balancer.open[first.port], seconds=5)


def test_refusing_backend__costs_the_connection(balancer: Balancer) -> None:
    """A failed deploy must be seen, not mended on the way."""
    balancer.add(free_port())
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(balancer)
