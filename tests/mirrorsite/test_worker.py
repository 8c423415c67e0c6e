"""The server that the worker runs, without gunicorn around it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing

from uvicorn import Config

from mirrorsite.server.http_protocol import HTTPProtocol
from mirrorsite.server.worker import DrainingServer
from tests.mirrorsite.connections import Echo


def test_connections_in_the_queue_of_the_kernel__answered() -> None:
    """Their requests were sent before the server was told to end."""
    config = Config(
        Echo(),
        http=HTTPProtocol,
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,
        log_config=None,
    )
    server = DrainingServer(config)
    server.should_exit = True
    with ExitStack() as stack:
        listener = stack.enter_context(
            closing(socket.create_server(("127.0.0.1", 0), backlog=64))
        )
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
