"""The gunicorn worker: uvicorn with limits, and a shutdown that loses no request."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gunicorn.arbiter import Arbiter
from uvicorn import Server
from uvicorn_worker import UvicornWorker

#: How often clients that do not send or do not read are looked for, in seconds.
CHECK_SECONDS = 1.0


class DrainingServer(Server):
    """Accepts what waits in the listening sockets before it closes them.

    The kernel completes connections on the server's behalf. Those it has not handed
    over when the sockets are closed would be reset, although their requests may have
    been sent already.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._checks = asyncio.create_task(self._check_deadlines())

    async def _check_deadlines(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if self.config.callback_notify is not None:
                # uvicorn's own heartbeat ends with its main loop, before the drain.
                await self.config.callback_notify()
            for connection in list(self.server_state.connections):
                connection.check_deadlines(loop.time())  # type: ignore[union-attr]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._accept_waiting(sockets or [])
        await super().shutdown()  # the sockets are closed

    async def _accept_waiting(self, sockets: Sequence[socket.socket]) -> None:
        listeners = [sock.dup() for sock in sockets]
        for server in self.servers:
            server.close()
        for listener in listeners:
            listener.setblocking(False)
            with listener:
                while (connection := _accepted(listener)) is not None:
                    loop = asyncio.get_running_loop()
                    await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on a signal, and then with status 0: uvicorn would raise it again."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _accepted(listener: socket.socket) -> socket.socket | None:
    try:
        connection, _ = listener.accept()
    except OSError:  # none waits, or its client has left
        return None
    return connection


class Worker(UvicornWorker):
    """Runs `DrainingServer` with the project's protocol."""

    CONFIG_KWARGS = {
        "loop": "uvloop",
        # By name: it is imported in the worker, after the metrics' directory is made.
        "http": "mirrorsite.http_protocol:HTTPProtocol",
        "ws": "none",
        "lifespan": "on",
        "interface": "asgi3",
        "access_log": False,
        "proxy_headers": False,  # Django decides about proxies (TRUSTED_PROXIES)
        "headers": [("Server", "gunicorn")],
    }

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.config.timeout_graceful_shutdown = self.cfg.graceful_timeout
        log = logging.getLogger("uvicorn.error")
        log.handlers.clear()
        log.propagate = True
        log.setLevel(logging.WARNING)

    def run(self) -> None:
        factory = self.config.get_loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        self.config.app = self.wsgi
        server = DrainingServer(self.config)
        # The plain sockets: uvloop would close a wrapped one twice.
        await server.serve(sockets=[listener.sock for listener in self.sockets])
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
