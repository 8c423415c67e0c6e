"""What holds the threads of a worker: clients that dawdle, a store that hangs."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlencode

import psutil
import pytest
from django.contrib.auth.models import User
from django.test import Client

from mirrorsite.server.http_protocol import STALL_SECONDS
from sre.lib import processes
from sre.lib.fill import fill
from sre.lib.object_store import ObjectStore
from sre.lib.service import Service
from tests.integration.test_service import peak_memory, post
from tests.support import ask
from uploads.models import Status, Upload

pytestmark = [pytest.mark.service, pytest.mark.integration]


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=60)


def is_open(connection: socket.socket) -> bool:
    """Return True if the server has neither answered nor closed the connection."""
    readable = select.poll()
    readable.register(connection, select.POLLIN)
    return not readable.poll(0)


def get(service: Service, path: str) -> None:
    """GET on a connection of its own; the answer must not be an error."""
    assert ask(service.url + path)[0] == 200


@contextmanager
def frozen(store: ObjectStore) -> Iterator[None]:
    """Stop the store's process where it stands: it accepts, and never answers."""
    assert store.process is not None
    os.kill(store.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(store.process.pid, signal.SIGCONT)


class TestHalfSentRequests:
    """Silent clients, 200 with half a head, 300 POSTs with a byte of their body."""

    HEAD = b"POST /api/upload-random HTTP/1.1\r\nHost: localhost\r\n"
    BODY = b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{"

    def test_500_of_them__everything_is_answered(self, start_service):
        service = start_service(WEB_CONCURRENCY="1", WEB_THREADS="4")
        assert post(service)[0] == 201
        # Again where the machine was so busy that they timed out before.
        assert any(self.is_answered_before_they_are(service) for _ in range(5))

    def is_answered_before_they_are(self, service: Service) -> bool:
        """Return True if the half-sent requests had not timed out by the last answer."""
        with ExitStack() as stack:
            *halves, late = (stack.enter_context(connect(service)) for _ in range(521))
            for number, half in enumerate(halves[:500]):
                half.sendall(self.HEAD if number < 200 else self.HEAD + self.BODY)
            get(service, "/api/health")
            get(service, "/api/mirror?word=a")
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: post(service)[0], range(20)))
            assert answers == [201] * 20
            # One that was silent is served once there is something to read.
            late.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert late.recv(65536).startswith(b"HTTP/1.1 200 OK")
            return all(is_open(half) for half in halves)


class TestExport:
    ROWS = 40_000

    @pytest.fixture
    def service(self, start_service):
        User.objects.create_superuser("staff", password="a long password")
        fill(self.ROWS, days=1)
        return start_service(WEB_CONCURRENCY="1", WEB_THREADS="4")

    def export(self, service: Service) -> socket.socket:
        """Ask for all uploads as CSV; return the connection, of which nothing is read."""
        client = Client()
        client.force_login(User.objects.get())
        session = client.cookies["sessionid"].value
        token = "a" * 32
        body = urlencode(
            {
                "action": "export_csv",
                "select_across": "1",
                "index": "0",
                "_selected_action": str(Upload.objects.values_list("pk", flat=True)[0]),
                "csrfmiddlewaretoken": token,
            }
        )
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(("127.0.0.1", service.port))
        sock.sendall(
            f"POST /admin/uploads/upload/ HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n"
            f"Cookie: csrftoken={token}; sessionid={session}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        return sock

    def test_slow_readers__constant_memory_and_others_are_answered(self, service):
        """As many of them as threads: two stream, and two are told to come again."""
        assert service.process is not None
        with ExitStack() as stack:
            with self.export(service) as first:  # what is built once is built now
                first.recv(65536)
            [worker] = psutil.Process(service.process.pid).children()
            before = peak_memory(worker)
            readers = [stack.enter_context(self.export(service)) for _ in range(4)]
            answers = [reader.recv(100) for reader in readers]
            statuses = sorted(int(answer.split()[1]) for answer in answers)
            assert statuses == [200, 200, 503, 503]
            assert post(service)[0] == 201
            get(service, "/api/ready")
            assert "does not read its answer" not in service.log.read_text()
            assert processes.wait_until(
                lambda: service.log.read_text().count("does not read its answer") == 2,
                seconds=STALL_SECONDS + 80,
            )
            assert peak_memory(worker) - before <= 32 * 1024 * 1024
        assert "Traceback" not in service.log.read_text(), service.log.read_text()


class TestFrozenStore:
    def test_health_answers__and_every_record_is_true(
        self, start_service, object_store, bucket
    ):
        """Of two places for the store one is left for other clients."""
        service = start_service(
            WEB_CONCURRENCY="1",
            WEB_THREADS="4",
            STORE_READ_TIMEOUT_SECONDS="3",
            TRUSTED_PROXIES="1",
        )
        assert post(service)[0] == 201
        clients = ["192.0.2.2", *["192.0.2.1"] * 15]
        with ThreadPoolExecutor(16) as pool, frozen(object_store):
            waiting = [pool.submit(post, service, client=c) for c in clients]
            # While every thread is held by one of them, or about to be.
            get(service, "/api/health")
            get(service, "/api/mirror?word=a")
            assert not all(future.done() for future in waiting)
            answers = [future.result() for future in waiting]
        slugs = [answer["type"].rsplit("/", 1)[-1] for _, answer in answers]
        assert {status for status, _ in answers} == {503}
        assert slugs[0] == "store-unavailable"
        assert slugs.count("store-busy") == 14
        # Those that never began have no record; the others say what is known.
        assert Upload.objects.count() == 1 + 2
        assert Upload.objects.filter(status=Status.PENDING).count() == 2
        assert processes.wait_until(lambda: post(service)[0] == 201, seconds=30)
