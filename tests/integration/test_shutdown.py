"""A service that ends answers what it has taken, and soon."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import pytest
from django.db import connection

from sre.lib.load import Load
from sre.lib.processes import wait_until
from sre.lib.service import Service
from tests.integration.balancer import Balancer
from tests.integration.test_held_threads import frozen
from tests.integration.test_service import post
from uploads.models import Upload

pytestmark = [pytest.mark.service, pytest.mark.integration]

LONG_BYTES = 24 * 1024 * 1024


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
    def test_every_request_taken_is_answered_and_recorded(self, live_service):
        """Under load. What the kernel accepts while the server closes is not taken."""
        # The first makes the server make room for the bucket, which may take it a while.
        assert post(live_service)[0] == 201
        clients = 24
        load = Load(live_service.url, clients=clients)
        load.start()
        assert wait_until(lambda: load.outcomes["201"] >= 4 * clients, seconds=60)

        assert live_service.process is not None
        live_service.process.terminate()
        status = live_service.process.wait(60)
        # The clients have to notice: each asks on as soon as it has its last answer.
        assert wait_until(lambda: load.outcomes["refused"] > 0, seconds=60)
        load.stop()

        assert status == 0
        assert set(load.outcomes) <= {"201", "refused", "lost"}, load.errors
        recorded = Upload.objects.values_list("status", flat=True)
        assert list(recorded) == ["stored"] * (1 + load.outcomes["201"])

    def test_idle_connections__answered_and_closed_but_not_waited_for(
        self, start_service
    ):
        """A request was sent before the client could know; another is under way.

        The others delay the end neither until they time out nor as long as it may take.
        """
        service = start_service(WEB_CONCURRENCY="1", GRACEFUL_TIMEOUT_SECONDS="120")
        assert post(service)[0] == 201
        answers: list[int] = []
        long = threading.Thread(
            target=lambda: answers.append(post(service, {"size": LONG_BYTES})[0])
        )
        with ExitStack() as stack:
            idle = [stack.enter_context(closing(connect(service))) for _ in range(8)]
            for connection in idle:
                ask(connection)
            long.start()
            assert wait_until(
                lambda: Upload.objects.filter(status="pending").exists(), seconds=30
            )
            service.process.terminate()
            assert wait_until(lambda: not accepts(service), seconds=10)
            assert ask(idle[0]).getheader("Connection") == "close"
            long.join(60)
            assert answers == [201]
            assert service.process.wait(40) == 0
        assert "Traceback" not in service.log.read_text()

    def test_outlasts_the_graceful_timeout__problem_and_log_line(
        self, start_service, object_store
    ):
        service = start_service(WEB_CONCURRENCY="1", GRACEFUL_TIMEOUT_SECONDS="2")
        with frozen(object_store), ThreadPoolExecutor(1) as pool:
            answer = pool.submit(post, service)
            assert wait_until(
                lambda: Upload.objects.filter(status="pending").exists(), seconds=30
            )
            service.process.terminate()
            status, body = answer.result(60)
        assert (status, body["type"]) == (500, "/api/problems/internal-error")
        assert service.process.wait(60) == 0
        line = rf"POST /api/upload-random 500 .* {body['request_id']}"
        assert len(re.findall(line, service.log.read_text())) == 1


def accepts(service: Service) -> bool:
    try:
        with closing(connect(service)) as connection:
            connection.connect()
            return True
    except OSError:
        return False


class TestRollingDeploy:
    def test_order_of_kubernetes__no_request_is_lost(self, start_service):
        """Migration, endpoint removed, preStop, SIGTERM; under keep-alive load."""
        first = start_service(WEB_THREADS="16")
        balancer = Balancer()
        balancer.add(first.port)
        load = Load(balancer.url, clients=8, keep_alive=True)

        def wait_for_uploads() -> None:
            aim = load.outcomes["201"] + 24
            assert wait_until(lambda: load.outcomes["201"] >= aim, seconds=60)

        load.start()
        try:
            wait_for_uploads()
            with next_releases_column():
                wait_for_uploads()
                second = start_service(WEB_THREADS="16")
                balancer.add(second.port)
                balancer.take_out(first.port)
                wait_for_uploads()  # preStop
                assert balancer.open[first.port] == 8  # the balancer cuts nothing
                first.process.terminate()
                assert first.process.wait(60) == 0
                wait_for_uploads()
                load.stop()
        finally:
            load.stop()
            balancer.close()
        assert set(load.outcomes) == {"201"}, load.errors
        assert balancer.served[second.port] >= 8
        assert Upload.objects.filter(status="stored").count() == load.outcomes["201"]
        assert json.loads(first.log.read_text().splitlines()[-1])["level"] == "info"


@contextmanager
def next_releases_column() -> Iterator[None]:
    """Add a column as a migration of the next release would, before the old ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE uploads_upload ADD next_release text NOT NULL DEFAULT ''"
        )
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE uploads_upload DROP next_release")
