from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from mirrorsite.fast_path import Answer, Remembered
from mirrorsite.gunicorn_worker import Worker
from mirrorsite.request_socket import RequestSocket
from mirrorsite.short_answers import environ_of


def request(*headers: tuple[str, str]) -> Any:
    return SimpleNamespace(
        method="GET",
        path="/api/health",
        query="",
        scheme="http",
        headers=headers,
        should_close=lambda: False,
    )


class TestEnvironment:
    def test_client__with_its_port_or_without(self) -> None:
        for client in (("192.0.2.1", 50_000), "192.0.2.1"):
            found = environ_of(request(("X-NOTE", "a")), client)
            assert found is not None
            assert found["REMOTE_ADDR"] == "192.0.2.1"
            assert found["HTTP_X_NOTE"] == "a"

    def test_field_twice__not_for_us(self) -> None:
        assert environ_of(request(("ACCEPT", "a"), ("ACCEPT", "b")), "") is None

    def test_below_another_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Which the short way leaves to Django."""
        monkeypatch.setenv("SCRIPT_NAME", "/below")
        found = environ_of(request(), "")
        assert found is not None
        assert found["SCRIPT_NAME"] == "/below"


def test_access_log_fails__one_answer_and_closed() -> None:
    """A second answer would be taken for the one to the next request."""
    ours, theirs = socket.socketpair()
    worker: Any = object.__new__(Worker)
    answer = Answer(Remembered([], b""), [("Content-Length", "2")], b"{}")
    worker._short_answer = lambda environ: answer
    worker.cfg = SimpleNamespace(keepalive=75)
    worker.alive, worker.nr, worker.max_requests = True, 0, 100
    worker.keepalived_conns, worker.max_keepalived = [], 10
    worker.log = mock.Mock()
    worker.log.access.side_effect = RuntimeError("a bug of ours")
    with theirs, RequestSocket.taking_over(ours) as sock:
        connection = SimpleNamespace(sock=sock, client="")
        with pytest.raises(StopIteration):  # gunicorn closes the connection then
            worker._answer_shortly(request(("HOST", "localhost")), connection)
        assert theirs.recv(1000).count(b"HTTP/1.1 200 OK") == 1
    worker.log.exception.assert_called_once()
