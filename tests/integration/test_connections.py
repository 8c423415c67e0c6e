"""How connections are shared out among the workers."""

from __future__ import annotations

import http.client
import os
import signal
from contextlib import ExitStack, closing

import psutil
import pytest

from sre.lib import processes
from sre.lib.service import Service

pytestmark = [pytest.mark.service, pytest.mark.integration]

CONNECTIONS = 24


def workers(service: Service) -> list[psutil.Process]:
    assert service.process is not None
    return [
        child
        for child in psutil.Process(service.process.pid).children()
        if child.net_connections("tcp")
    ]


def held_by(worker: psutil.Process) -> int:
    return sum(
        connection.status == psutil.CONN_ESTABLISHED
        for connection in worker.net_connections("tcp")
    )


def wait_for_both(service: Service) -> None:
    """Ask until each worker has answered: they begin to listen one after the other."""
    answered: set[int] = set()

    def both() -> bool:
        with ExitStack() as stack:
            open_connections(service, stack, 4)
            answered.update(
                worker.pid for worker in workers(service) if held_by(worker)
            )
        return len(answered) == 2

    assert processes.wait_until(both, seconds=30)


def open_connections(
    service: Service, stack: ExitStack, number: int = CONNECTIONS
) -> None:
    """Each is kept after its first answer, as a proxy's are."""
    for _ in range(number):
        connection = stack.enter_context(
            closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30))
        )
        connection.request("GET", "/api/health")
        assert connection.getresponse().read() == b'{"status":"ok"}'


class TestWorkers:
    def test_kept_connections__spread_over_the_workers_that_run(self, start_service):
        """One that hangs holds the fewest, and never comes for its share.

        Without gunicorn they end: nothing would watch them, and they hold the port.
        """
        service = start_service(WEB_CONCURRENCY="2")
        wait_for_both(service)
        with ExitStack() as stack:
            open_connections(service, stack)
            held = [held_by(worker) for worker in workers(service)]
        # A connection of before may not be closed yet.
        assert sum(held) >= CONNECTIONS
        assert min(held) >= CONNECTIONS // 4, held

        hangs, _ = workers(service)
        os.kill(hangs.pid, signal.SIGSTOP)
        try:
            with ExitStack() as stack:
                open_connections(service, stack)
        finally:
            os.kill(hangs.pid, signal.SIGCONT)

        orphans = workers(service)
        os.kill(service.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(orphans, timeout=60)
        assert alive == []
