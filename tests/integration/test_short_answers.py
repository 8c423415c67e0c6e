"""A worker's short answers are those that gunicorn would have sent."""

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
HOST = "Host: localhost"

REQUESTS = {
    "health": (HEALTH, HOST),
    "health with a query": ("GET /api/health?x=1 HTTP/1.1", HOST),
    "mirror": (MIRROR, HOST, "User-Agent: probe", "X-Request-ID: known"),
    "mirror, twice the word": ("GET /api/mirror?word=a&word=b HTTP/1.1", HOST),
    "mirror without a word": ("GET /api/mirror HTTP/1.1", HOST),
    "a field twice": (HEALTH, HOST, "X-Request-ID: a", "X-Request-ID: b"),
    "a field with an underscore": (MIRROR, HOST, "X_Request_ID: a"),
    "a trace": (
        HEALTH,
        HOST,
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    "a host that is not allowed": (HEALTH, "Host: evil.example"),
    "two hosts": (HEALTH, HOST, HOST),
    "to be kept": (MIRROR, HOST, "Connection: keep-alive"),
    "to be closed": (MIRROR, HOST, "Connection: close"),
}


def read_answer(sock: socket.socket) -> str:
    """Return one answer, head and body."""
    head, _, body = sock.recv(65536).partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    while len(body) < int(length[1]):
        body += sock.recv(65536)
    return (head + b"\r\n\r\n" + body).decode("latin-1")


def timeless(answer: str) -> str:
    """Return an answer without what no two answers share."""
    answer = re.sub(r"(?<=\r\nDate: )[^\r]+ GMT(?=\r)", "now", answer)
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


def test_same_bytes_and_lines(start_service: Any) -> None:
    """Asked first on a connection a thread answers, asked second the main thread."""
    service = start_service(
        WEB_CONCURRENCY="1", TRUSTED_PROXIES="1", ALLOWED_HOSTS="localhost,127.0.0.1"
    )

    def ask(*requests: str) -> str:
        """Return the answer to the last of some requests on one connection."""
        answer = ""
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as sock:
            for request in requests:
                sock.sendall(request.encode())
                answer = timeless(read_answer(sock))
        return answer

    plain = f"{HEALTH}\r\n{HOST}\r\n\r\n"
    ask(plain)
    ask(f"{MIRROR}\r\n{HOST}\r\n\r\n")
    for number, (name, lines) in enumerate(REQUESTS.items()):
        client = f"192.0.2.{number}"
        asked = "\r\n".join([*lines, f"X-Forwarded-For: {client}", "", ""])
        by_a_thread, by_the_main_thread = ask(asked), ask(plain, asked)
        assert by_the_main_thread == by_a_thread, name
        if name != "two hosts":  # no request that would be logged as one
            first, second = access_lines(service, client, 2)
            assert first == second, name
