"""The event loop answers and logs what Django answers and logs."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest

from sre.lib import processes
from sre.lib.service import Service

pytestmark = [pytest.mark.service, pytest.mark.integration]

HEALTH = "GET /api/health HTTP/1.1"
MIRROR = "GET /api/mirror?word=fOo%E2%80%A8Bar25 HTTP/1.1"

REQUESTS = {
    "health": (HEALTH,),
    "health with a query": ("GET /api/health?x=1 HTTP/1.1",),
    "mirror": (MIRROR, "User-Agent: probe", "X-Request-ID: known"),
    "mirror, twice the word": ("GET /api/mirror?word=a&word=b HTTP/1.1",),
    "mirror without a word": ("GET /api/mirror HTTP/1.1",),
    "mirror with a fragment": ("GET /api/mirror?word=a#b HTTP/1.1",),
    "absolute form": ("GET http://localhost:PORT/api/health HTTP/1.1",),
    "HEAD": ("HEAD /api/health HTTP/1.1",),
    "HTTP/1.0": ("GET /api/health HTTP/1.0",),
    "a field twice": (HEALTH, "X-Request-ID: a", "X-Request-ID: b"),
    "a field with an underscore": (MIRROR, "X_Request_ID: a"),
    "a trace": (
        HEALTH,
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    "to be kept": (MIRROR, "Connection: keep-alive"),
    "to be closed": (MIRROR, "Connection: close"),
}


def read_answer(sock: socket.socket, *, has_body: bool) -> str:
    """Return one answer: its header fields in order of their names, and its body."""
    head, _, body = sock.recv(65536).partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    while has_body and len(body) < int(length[1]):
        body += sock.recv(65536)
    first, *fields = head.decode("latin-1").split("\r\n")
    return "\r\n".join([first, *sorted(fields), "", body.decode()])


def timeless(answer: str) -> str:
    """Return an answer without what no two answers share."""
    answer = re.sub(r"(?<=\r\ndate: )[^\r]+ GMT(?=\r)", "now", answer)
    return re.sub(r"\b[0-9a-f]{32}\b", "hexadecimal", answer)


def access_lines(service: Service, client: str, count: int) -> list[dict[str, Any]]:
    """Return what was logged of a client, without what no two lines share."""
    found: list[dict[str, Any]] = []

    def are_there() -> bool:
        lines = map(json.loads, service.log.read_text().splitlines())
        found[:] = [line for line in lines if line.get("client") == client]
        return len(found) >= count

    assert processes.wait_until(are_there, seconds=10), service.log.read_text()
    assert len(found) == count
    for line in found:
        assert line.pop("duration_ms") >= 0
        line["message"] = line["message"].split(" ")[:3]
        if len(line["request_id"]) == 32:
            line["request_id"] = "made"
        del line["time"]
    return found


def test_same_bytes_and_lines(start_service):
    """Django answers a host's first request, the event loop the second."""
    service = start_service(
        WEB_CONCURRENCY="1", TRUSTED_PROXIES="1", ALLOWED_HOSTS="localhost,127.0.0.1"
    )

    def ask(request: str) -> str:
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as sock:
            sock.sendall(request.encode())
            return timeless(read_answer(sock, has_body=not request.startswith("HEAD")))

    for number, (name, (line, *fields)) in enumerate(REQUESTS.items()):
        client, port = f"192.0.2.{number}", 10_000 + number
        head = [line.replace("PORT", str(port)), f"Host: localhost:{port}", *fields]
        asked = "\r\n".join([*head, f"X-Forwarded-For: {client}", "", ""])
        by_django, by_the_loop = ask(asked), ask(asked)
        assert by_the_loop == by_django, name
        first, second = access_lines(service, client, 2)
        assert first == second, name
    assert_host_is_checked(service)


def assert_host_is_checked(service: Service) -> None:
    """Ask for another host in absolute form, and for a known one in the field."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as sock:
        for target, status in [
            ("/api/health", 200),
            ("/api/health", 200),
            ("http://evil.example/api/health", 400),
            ("http://evil.example/api/health", 400),
        ]:
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            answer = read_answer(sock, has_body=True)
            assert answer.startswith(f"HTTP/1.1 {status} "), answer
            assert ("/api/problems/host-not-allowed" in answer) is (status == 400)
