"""The server that the worker runs, without gunicorn around it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from contextlib import ExitStack, closing
from typing import Any

import psutil
import pytest
from uvicorn import Config

from mirrorsite.server import worker
from mirrorsite.server.http_protocol import HTTPProtocol
from mirrorsite.server.worker import FRESH_SECONDS, ConnectionCounts, DrainingServer
from sre.lib import processes
from sre.lib.ports import free_ports
from tests.mirrorsite.connections import Echo, until
from tests.mirrorsite.test_environment import PRODUCTION
from tests.support import ROOT


def server_of(counts: ConnectionCounts, number: int) -> DrainingServer:
    config = Config(
        Echo(),
        http=HTTPProtocol,
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,
        log_config=None,
    )
    return DrainingServer(config, counts, number, os.getppid())


class FirstHasLeft(socket.socket):
    """A listening socket whose first client has left before it is accepted."""

    has_left = False

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.has_left:
            self.has_left = True
            raise ConnectionAbortedError
        return super().accept()


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for deadlines more often."""
    monkeypatch.setattr(worker, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(worker, "FRESH_SECONDS", 0.5)


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("kind", [socket.socket, FirstHasLeft])
def test_connections_in_the_queue_of_the_kernel__answered(kind):
    """Their requests were sent before the server was told to end."""
    server = server_of(ConnectionCounts(), 1)
    server.should_exit = True
    with ExitStack() as stack:
        bound = socket.create_server(("127.0.0.1", 0), backlog=64)
        listener = stack.enter_context(closing(kind(fileno=bound.detach())))
        clients = [
            stack.enter_context(
                closing(socket.create_connection(listener.getsockname(), timeout=30))
            )
            for _ in range(24)
        ]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        asyncio.run(server.serve(sockets=[listener]))
        answers = [client.recv(12) for client in clients]
    assert answers == [b"HTTP/1.1 200"] * 24


@pytest.mark.usefixtures("_soon")
def test_worker_that_ends__connections_are_not_left_to_it() -> None:
    """It has fewest connections, and takes no more of them."""

    async def end() -> None:
        counts = ConnectionCounts()
        ending, staying = servers = [server_of(counts, n) for n in (1, 2)]
        application: Any = ending.config.app
        application.may_answer.clear()
        with ExitStack() as stack:
            served, clients = [], []
            for server, connections in ((ending, 1), (staying, 3)):
                listener = socket.create_server(("127.0.0.1", 0))
                address = listener.getsockname()
                served.append(asyncio.create_task(server.serve(sockets=[listener])))
                for _ in range(connections):
                    clients.append(await asyncio.open_connection(*address))
                    stack.callback(clients[-1][1].close)
            await until(lambda: connections_of(servers) == len(clients))
            reader, writer = clients[0]
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await until(lambda: application.scopes)
            await until(lambda: counts.lowest() == 1)

            ending.should_exit = True

            await until(lambda: counts.lowest() == 3)
            assert not served[0].done()
            application.may_answer.set()
            assert await reader.read(12) == b"HTTP/1.1 200"
            await served[0]
        staying.should_exit = True
        await served[1]

    asyncio.run(end())


def connections_of(servers: list[DrainingServer]) -> int:
    return sum(len(server.server_state.connections) for server in servers)


class TestConnectionCounts:
    def test_report_of_a_forked_process__counts_while_it_is_fresh(self, monkeypatch):
        """A worker that hangs takes no connection, so the others do not wait for it to."""
        counts = ConnectionCounts()
        counts.report(1, 5)
        child = os.fork()
        if not child:
            counts.report(2, 3)
            os._exit(0)
        os.waitpid(child, 0)
        assert counts.lowest() == 3
        later = time.monotonic() + FRESH_SECONDS + 1
        monkeypatch.setattr(worker, "monotonic", lambda: later)
        counts.report(1, 5)
        assert counts.lowest() == 5


def test_gunicorn_killed_while_it_starts__its_children_end(tmp_path):
    """Their parent is another process before they can look."""
    bind, metrics = (f"127.0.0.1:{port}" for port in free_ports(2))
    environment = PRODUCTION | {"BIND": bind, "METRICS_BIND": metrics}
    config = ["--config", "python:mirrorsite.gunicorn_conf"]
    log = tmp_path / "log"
    master = processes.start(
        [sys.executable, "-m", "gunicorn", *config],
        log=log, environment=environment | {"WEB_CONCURRENCY": "1"}, cwd=ROOT,
    )  # fmt: skip
    try:
        parent = psutil.Process(master.pid)
        # One worker, and the process for the metrics.
        assert processes.wait_until(lambda: len(parent.children()) == 2, seconds=60)
        children = parent.children()
    finally:
        master.kill()
        master.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    for child in alive:
        child.kill()
    assert alive == [], log.read_text()
