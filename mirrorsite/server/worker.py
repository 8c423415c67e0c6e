"""The gunicorn worker: uvicorn with limits, and a shutdown that loses no request."""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any

from gunicorn.arbiter import Arbiter
from uvicorn import Config, Server
from uvicorn_worker import UvicornWorker

logger = logging.getLogger("gunicorn.error")

#: The interval of the periodic checks, in seconds.
CHECK_SECONDS = 1.0
#: How long a worker that has more connections than another waits before it accepts, in
#: seconds.
YIELD_SECONDS = 0.002

#: Workers that can report at the same time.
_MAX_WORKERS = 64
#: A worker that has not reported for this long hangs, or has ended.
FRESH_SECONDS = 2.0


class ConnectionCounts:
    """How many connections each worker has, in memory that the workers share.

    Must be created before the workers are forked.
    """

    def __init__(self) -> None:
        memory = memoryview(mmap.mmap(-1, _MAX_WORKERS * 16)).cast("d")
        self._counts, self._reported_at = memory[:_MAX_WORKERS], memory[_MAX_WORKERS:]

    def report(self, worker: int, count: int) -> None:
        """Report how many connections a worker has."""
        self._counts[worker % _MAX_WORKERS] = count
        self._reported_at[worker % _MAX_WORKERS] = monotonic()

    def lowest(self) -> float:
        """Return the lowest count of the workers that report."""
        since = monotonic() - FRESH_SECONDS
        reports = zip(self._counts, self._reported_at, strict=True)
        return min((count for count, at in reports if at > since), default=0)


# gunicorn imports this module before it forks the workers.
_counts = ConnectionCounts()


class DrainingServer(Server):
    """Spreads connections over the workers, and drains the listening sockets.

    All workers watch the same sockets, and the one that the kernel wakes first would get
    all of a proxy's keep-alive connections. So a worker accepts one at a time, and first
    lets a worker with fewer connections do so.

    The kernel completes handshakes before the server accepts. Connections still in its
    queue when the sockets are closed would be reset, although their requests may have
    been sent already; so they are accepted first.
    """

    def __init__(
        self, config: Config, counts: ConnectionCounts, worker: int, arbiter: int
    ) -> None:
        """`worker` is the number of this worker; all share `counts`.

        `arbiter` is the process id of gunicorn's arbiter, which may have ended already.
        """
        super().__init__(config)
        self.counts = counts
        self.worker = worker
        self._arbiter = arbiter

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])  # uvicorn itself accepts nothing
        self._connecting: set[asyncio.Task[Any]] = set()
        self._background = [asyncio.create_task(self._run_periodic_checks())]
        for listener in sockets or []:
            listener.setblocking(False)
            accepting = asyncio.create_task(self._accept_connections(listener))
            self._background.append(accepting)

    async def _run_periodic_checks(self) -> None:
        """Check the deadlines and the arbiter; report connections and the heartbeat."""
        loop = asyncio.get_running_loop()
        while True:
            self._report_count()
            await asyncio.sleep(CHECK_SECONDS)
            if os.getppid() != self._arbiter:
                # gunicorn's arbiter was killed: nothing else would end this worker.
                self.should_exit = True
            if self.config.callback_notify is not None:
                # uvicorn's own heartbeat ends with its main loop, before the drain.
                await self.config.callback_notify()
            for connection in list(self.server_state.connections):
                connection.check_deadlines(loop.time())  # type: ignore[union-attr]

    async def _accept_connections(self, listener: socket.socket) -> None:
        """Accept connections; before each, give a worker with fewer the chance to take it."""
        loop = asyncio.get_running_loop()
        while not self.should_exit:
            is_readable = asyncio.Event()
            loop.add_reader(listener, is_readable.set)
            await is_readable.wait()
            loop.remove_reader(listener)
            if self._report_count() > self.counts.lowest():
                await asyncio.sleep(YIELD_SECONDS)
            try:
                self._accept(listener)
            except OSError as error:
                # For example, too many files are open. An immediate retry would fail again
                # and keep the loop busy.
                logger.warning("a connection was not accepted: %s", error)
                await asyncio.sleep(CHECK_SECONDS)

    def _report_count(self) -> int:
        """Report the number of this worker's connections, and return it."""
        count = len(self.server_state.connections) + len(self._connecting)
        if not self.should_exit:
            self.counts.report(self.worker, count)
        return count

    def _accept(self, listener: socket.socket) -> bool:
        """Accept one connection; return False if none is queued."""
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return False
        except ConnectionAbortedError:
            return True  # this client has disconnected; others may be queued behind it
        protocol_class: Any = self.config.http_protocol_class
        protocol = partial(
            protocol_class,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(protocol, connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _, *accepting = self._background  # the periodic checks go on
        for task, listener in zip(accepting, sockets or [], strict=True):
            task.cancel()
            asyncio.get_running_loop().remove_reader(listener)
            with suppress(OSError):
                while self._accept(listener):
                    pass
            # Resets only connections that the kernel has completed since the last accept;
            # nothing was awaited in between.
            listener.close()
        if self._connecting:
            await asyncio.wait(self._connecting)
        await super().shutdown([])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down on a signal and exit with 0; uvicorn would raise the signal again."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


class Worker(UvicornWorker):
    """Runs `DrainingServer` with the project's protocol."""

    CONFIG_KWARGS = {
        "loop": "uvloop",
        # By name: the worker imports it after the metrics' directory is made.
        "http": "mirrorsite.server.http_protocol:HTTPProtocol",
        "ws": "none",
        "lifespan": "on",
        "interface": "asgi3",
        "access_log": False,
        "proxy_headers": False,  # Django handles proxies (TRUSTED_PROXIES)
        "headers": [("Server", "gunicorn")],
    }

    def run(self) -> None:
        factory = self.config.get_loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        self.config.app = self.wsgi
        # uvicorn cancels the requests a second before gunicorn kills the worker, so that they
        # are still answered and logged.
        self.config.timeout_graceful_shutdown = max(1, self.cfg.graceful_timeout - 1)
        # gunicorn numbers the workers that it starts; it calls the number `age`.
        server = DrainingServer(self.config, _counts, self.age, self.ppid)
        # Pass the plain sockets: uvloop would close gunicorn's wrappers twice.
        await server.serve(sockets=[listener.sock for listener in self.sockets])
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
