"""A service that ends answers what it has taken, and soon."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from contextlib import ExitStack, closing
from typing import Any

import pytest

from sre.lib.balancer import Balancer
from sre.lib.load import Load
from sre.lib.processes import wait_until
from sre.lib.service import Service
from tests.integration.test_service import post
from uploads.models import Upload

pytestmark = [pytest.mark.service, pytest.mark.integration]

LONG_BYTES = 32 * 1024 * 1024


def connect(service: Service) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)


def ask(
    connection: http.client.HTTPConnection, path: str = "/api/mirror?word=a"
) -> http.client.HTTPResponse:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    return answer


class TestSigterm:
    def test_every_request_taken_is_answered_and_recorded(
        self, live_service: Service
    ) -> None:
        """More clients than threads: some connections wait in the kernel's queue."""
        # The first makes the server make room for the bucket, which may take it a while.
        assert post(live_service)[0] == 201
        clients = 24
        load = Load(live_service.url, clients=clients, most_requests=100_000)
        load.start()
        assert wait_until(lambda: load.outcomes["201"] >= 4 * clients, seconds=60)

        assert live_service.process is not None
        live_service.process.terminate()
        status = live_service.process.wait(60)
        # The clients have to notice: each asks on as soon as it has its last answer.
        assert wait_until(lambda: load.outcomes["refused"] > 0, seconds=60)
        load.stop()

        assert status == 0
        assert set(load.outcomes) == {"201", "refused"}, load.errors
        recorded = Upload.objects.values_list("status", flat=True)
        assert list(recorded) == ["stored"] * (1 + load.outcomes["201"])

    def test_idle_connections__do_not_delay_it(self, start_service: Any) -> None:
        """Neither until they time out nor as long as the service may take to end."""
        service = start_service(GRACEFUL_TIMEOUT_SECONDS="120")
        with ExitStack() as stack:
            for _ in range(8):
                ask(stack.enter_context(closing(connect(service))))
            service.process.terminate()
            assert service.process.wait(40) == 0
        assert "Traceback" not in service.log.read_text()

    def test_request_on_an_idle_connection__answered_and_closed(
        self, start_service: Any
    ) -> None:
        """It was sent before the client could know; others are under way meanwhile."""
        service = start_service(WEB_CONCURRENCY="1")
        assert post(service)[0] == 201
        answers: list[int] = []
        long = threading.Thread(
            target=lambda: answers.append(post(service, {"size": LONG_BYTES})[0])
        )
        with closing(connect(service)) as idle:
            ask(idle)
            long.start()
            assert wait_until(
                lambda: Upload.objects.filter(status="pending").exists(), seconds=30
            )
            service.process.terminate()
            assert wait_until(lambda: not accepts(service), seconds=10)
            assert ask(idle).getheader("Connection") == "close"
        long.join(60)
        assert answers == [201]
        assert service.process.wait(60) == 0


def accepts(service: Service) -> bool:
    try:
        with closing(connect(service)) as connection:
            connection.connect()
            return True
    except OSError:
        return False


class KeepAliveClients:
    """Clients that keep their connections to a balancer, and never try again."""

    def __init__(self, balancer: Balancer, count: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._port = int(balancer.url.rpartition(":")[2])
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/api/upload-random")
                answer = connection.getresponse()
                answer.read()
                outcome = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                outcome = repr(error)
                connection.close()  # and opened again by the next request
            with self._lock:
                self.outcomes[outcome] += 1
        connection.close()

    def wait_for(self, number: int) -> None:
        aim = self.outcomes["201"] + number
        assert wait_until(lambda: self.outcomes["201"] >= aim, seconds=60)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


class TestRollingDeploy:
    def test_order_of_kubernetes__no_request_is_lost(self, start_service: Any) -> None:
        """Endpoint removed, preStop, SIGTERM; connections are kept all the while."""
        first = start_service(WEB_THREADS="16")
        balancer = Balancer()
        balancer.add(first.port)
        clients = KeepAliveClients(balancer, 8)
        try:
            clients.wait_for(40)
            second = start_service(WEB_THREADS="16")
            balancer.add(second.port)
            balancer.take_out(first.port)
            clients.wait_for(40)  # preStop
            assert balancer.open[first.port] == 8  # the balancer cuts nothing
            first.process.terminate()
            assert first.process.wait(60) == 0
            clients.wait_for(40)
        finally:
            clients.stop()
            balancer.close()
        assert set(clients.outcomes) == {"201"}, clients.outcomes
        assert balancer.served[second.port] >= 8
        assert Upload.objects.filter(status="stored").count() == clients.outcomes["201"]
        assert json.loads(first.log.read_text().splitlines()[-1])["level"] == "info"
