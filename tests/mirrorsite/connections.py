"""A connection to the HTTP protocol without a network."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from uvicorn import Config
from uvicorn.server import ServerState

from mirrorsite.server.fast_path import FastPath
from mirrorsite.server.http_protocol import HTTPProtocol

DATE = b"Sun, 29 Nov 2026 12:00:00 GMT"


def scope_of(path: bytes, query: bytes = b"", **fields: str) -> dict[str, Any]:
    """Return the ASGI scope of a GET; `fields` are header fields, with _ for -."""
    headers = {"host": "localhost", "x-request-id": "known", **fields}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "headers": [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in headers.items()
        ],
        "client": ("192.0.2.1", 50_000),
        "server": ("127.0.0.1", 4545),
        "state": {"is_closed": lambda: False},
    }


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


class Transport(asyncio.Transport):
    """Keeps what is written; `unread` is what the client has not read."""

    def __init__(self, peer: tuple[str, int] | None = ("192.0.2.1", 50_000)) -> None:
        super().__init__({"peername": peer})
        self.written = b""
        self.unread = 0
        self.is_closed = False
        self.is_aborted = False
        self.is_half_closed = False
        self.is_reading = True  # type: ignore[method-assign, assignment]

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unread

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_half_closed = True

    def pause_reading(self) -> None:
        self.is_reading = False  # type: ignore[method-assign, assignment]

    def resume_reading(self) -> None:
        self.is_reading = True  # type: ignore[method-assign, assignment]

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


class Echo:
    """An ASGI application that answers its path and body; keeps the scopes."""

    def __init__(self, fast_path: FastPath | None = None) -> None:
        self.fast_path = fast_path or FastPath({})
        self.scopes: list[Any] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        await self.may_answer.wait()
        content = scope["raw_path"] + b" " + body
        length = b"%d" % len(content)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", length)],
            }
        )
        await send({"type": "http.response.body", "body": content})


class Server:
    """Makes connections that share a loop and an application."""

    def __init__(self, application: Any = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.application = application or Echo()
        self.config = Config(
            self.application,
            http=HTTPProtocol,
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            timeout_keep_alive=75,
        )
        self.state = ServerState()
        self.state.default_headers = [(b"date", DATE)]  # uvicorn renews it each second

    def connect(self, transport: Transport | None = None) -> Connection:
        return Connection(self, transport)

    def close(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.run()
        self.loop.close()

    def run(self) -> None:
        """Let the loop run until nothing is left to do."""
        for _ in range(20):
            self.loop.run_until_complete(asyncio.sleep(0))


class Connection:
    """One connection: `send` bytes, look at what was `answered`."""

    def __init__(self, server: Server, transport: Transport | None = None) -> None:
        self.server = server
        self.transport = transport or Transport()
        self.protocol = HTTPProtocol(server.config, server.state, {}, server.loop)
        self._in_loop(lambda: self.protocol.connection_made(self.transport))

    def _in_loop(self, act: Any) -> None:
        async def run() -> None:
            act()

        self.server.loop.run_until_complete(run())
        self.server.run()

    def send(self, *parts: bytes) -> bytes:
        """Send each part by itself; return all that was answered until now."""

        def receive() -> None:
            for part in parts:
                self.protocol.data_received(part)

        self._in_loop(receive)
        return self.transport.written

    def after(self, seconds: float) -> bytes:
        """Look for deadlines as if so many seconds had passed."""
        now = self.server.loop.time() + seconds
        self._in_loop(lambda: self.protocol.check_deadlines(now))
        return self.transport.written

    def lose(self) -> None:
        self._in_loop(lambda: self.protocol.connection_lost(None))

    @property
    def statuses(self) -> list[int]:
        found = re.findall(rb"HTTP/1\.1 (\d{3}) ", self.transport.written)
        return [int(status) for status in found]


def exchange(*parts: bytes) -> bytes:
    """Return what one new connection answers to these bytes."""
    server = Server()
    try:
        return server.connect().send(*parts)
    finally:
        server.close()
