"""What holds the threads of a worker: clients that dawdle, a store that hangs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from mirrorsite.request_socket import READ_SECONDS, SEND_SECONDS
from mirrorsite.short_requests import MOST_SHORT_BYTES
from sre.lib import processes
from sre.lib.load import Load
from sre.lib.object_store import ObjectStore
from sre.lib.service import Service
from tests.integration.test_service import post
from transforms.mirror import mirror
from uploads.models import Status, Upload
from uploads.storage import UploadStorage

pytestmark = [pytest.mark.service, pytest.mark.integration]

#: A probe of Kubernetes waits a second unless told otherwise.
PROBE_SECONDS = 1.0


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=60)


class TestDawdlingClients:
    def test_connection_not_closed_by_the_client__nobody_waits(
        self, start_service: Any
    ) -> None:
        """They have their answers, and sit on the connections they asked to close."""
        service = start_service(WEB_CONCURRENCY="1")
        with ExitStack() as stack:
            for _ in range(4):
                sits = stack.enter_context(connect(service))
                sits.sendall(
                    b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n"
                    b"Connection: close\r\n\r\n"
                )
                answer = b"".join(iter(lambda s=sits: s.recv(65536), b""))  # type: ignore[misc]
                assert answer.startswith(b"HTTP/1.1 200 ")
            assert service.health_seconds() < PROBE_SECONDS

    def test_answers_not_read__given_up(self, start_service: Any) -> None:
        """More clients than threads, each asking for much and reading nothing."""
        threads = 4
        service = start_service(WEB_CONCURRENCY="1", WEB_THREADS=str(threads))
        with ExitStack() as stack:
            for _ in range(threads):
                deaf = stack.enter_context(socket.socket())
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.settimeout(60)
                deaf.connect(("127.0.0.1", service.port))
                deaf.sendall(
                    b"GET /api/schema HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
                )
            assert processes.wait_until(
                lambda: (
                    service.log.read_text().count("does not take its answer") == threads
                ),
                seconds=SEND_SECONDS + 20,
            )
            assert service.health_seconds() < PROBE_SECONDS
        assert "Traceback" not in service.log.read_text(), service.log.read_text()

    def test_every_thread_held__kept_connections_are_answered(
        self, start_service: Any
    ) -> None:
        """By the main thread, in order, and closed when the client asks for that."""
        threads = 2
        service = start_service(WEB_CONCURRENCY="1", WEB_THREADS=str(threads))
        health = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n"
        with ExitStack() as stack:
            kept = stack.enter_context(connect(service))
            kept.settimeout(PROBE_SECONDS)
            kept.sendall(health + b"\r\n")
            assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
            for _ in range(threads):
                holds = stack.enter_context(connect(service))
                holds.sendall(b"GET /api/health HTTP/1.1\r\nHost: loc")

            def nobody_else_is_served() -> bool:
                late = stack.enter_context(connect(service))
                late.settimeout(PROBE_SECONDS)
                late.sendall(health + b"\r\n")
                try:
                    late.recv(65536)
                except TimeoutError:
                    return True
                return False

            # Until they are given up; one that comes while they still make for their
            # threads may be faster.
            assert processes.wait_until(nobody_else_is_served, seconds=READ_SECONDS / 2)
            for number in range(20):
                kept.sendall(
                    b"GET /api/mirror?word=%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    % number
                )
                answer = kept.recv(65536)
                assert answer.endswith(b'"%s"}' % mirror(str(number)).encode())
            kept.settimeout(READ_SECONDS + 5)  # closing is a thread's work
            kept.sendall(health + b"Connection: close\r\n\r\n")
            answer = b"".join(iter(lambda: kept.recv(65536), b""))
            assert b"Connection: close" in answer
        assert "Traceback" not in service.log.read_text(), service.log.read_text()

    def test_more_behind_a_request_answered_by_the_main_thread__answered_too(
        self, live_service: Service
    ) -> None:
        """Its length is just what the main thread looks at, so it looks whole."""
        health = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n"
        padding = b"X-Padding: "
        room = MOST_SHORT_BYTES - len(health + padding + b"\r\n\r\n")
        padded = health + padding + b"a" * room + b"\r\n\r\n"
        last = health + b"Connection: close\r\n\r\n"
        with connect(live_service) as sock:
            sock.settimeout(10)
            sock.sendall(health + b"\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
            # What has just been answered by a thread is back with the main thread.
            for _ in range(3):
                sock.sendall(padded + health + b"\r\n")
                answers = b""
                while answers.count(b'{"status":"ok"}') < 2:
                    answers += sock.recv(65536)
            sock.sendall(padded + last)
            answers = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answers.count(b"HTTP/1.1 200 ") == 2

    def test_half_a_request__408_and_closed(self, start_service: Any) -> None:
        """By head, by body, and a byte at a time: the whole request has one deadline."""
        service = start_service()
        head = b"POST /api/upload-random HTTP/1.1\r\nHost: localhost\r\n"
        body = b'Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{"si'
        with ExitStack() as stack:
            half_head, half_body, trickle = (
                stack.enter_context(connect(service)) for _ in range(3)
            )
            begun = time.monotonic()
            half_head.sendall(head)
            half_body.sendall(head + body)
            trickle.sendall(head + b"X-Slow: ")
            answered = threading.Event()

            def dawdle() -> None:
                while not answered.wait(0.5):
                    try:
                        trickle.sendall(b"a")
                    except OSError:
                        return

            thread = threading.Thread(target=dawdle)
            thread.start()
            try:
                answers = [
                    b"".join(iter(lambda s=sock: s.recv(65536), b""))  # type: ignore[misc]
                    for sock in (half_head, half_body, trickle)
                ]
            finally:
                answered.set()
                thread.join()
        seconds = time.monotonic() - begun
        assert READ_SECONDS - 1 < seconds < READ_SECONDS + 5
        for answer in answers:
            head_part, _, problem = answer.partition(b"\r\n\r\n")
            assert head_part.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert json.loads(problem)["type"].endswith("/request-timeout")
        assert Upload.objects.count() == 0
        assert "Traceback" not in service.log.read_text(), service.log.read_text()

    @pytest.mark.parametrize(
        ("lines", "status"),
        [
            (b"HTTP/1.1\r\n", b"400 Bad Request"),
            (b"HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n", b"400 Bad Request"),
            (b"HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", b"200 OK"),
        ],
    )
    def test_host__once(
        self, live_service: Service, lines: bytes, status: bytes
    ) -> None:
        with connect(live_service) as sock:
            sock.sendall(b"GET /api/health " + lines + b"\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 " + status)

    def test_pipelined__each_answered_in_order(self, live_service: Service) -> None:
        requests = b"".join(
            b"GET /api/mirror?word=%d HTTP/1.1\r\nHost: localhost\r\n" % number
            + (b"Connection: close\r\n\r\n" if number == 29 else b"\r\n")
            for number in range(10, 30)
        )
        with connect(live_service) as sock:
            sock.sendall(requests)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        words = re.findall(rb'\{"transformed":"(\d+)"\}', answer)
        assert words == [mirror(str(number)).encode() for number in range(10, 30)]

    def test_busy_clients__do_not_keep_others_waiting(self, start_service: Any) -> None:
        """A thread stays with a client that asks on, unless somebody waits for it."""
        service = start_service(WEB_CONCURRENCY="1", WEB_THREADS="2")
        load = Load(service.url, target="mirror", clients=4, keep_alive=True)
        load.start()
        try:
            probes = [service.health_seconds() for _ in range(20)]
        finally:
            load.stop()
        assert set(load.outcomes) == {"200"}, load.errors
        assert max(probes) < PROBE_SECONDS

    def test_connected_and_silent__hold_no_thread(self, start_service: Any) -> None:
        service = start_service(WEB_CONCURRENCY="1", WEB_THREADS="2")
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(connect(service))
            assert service.health_seconds() < PROBE_SECONDS
            late = stack.enter_context(connect(service))
            assert service.health_seconds() < PROBE_SECONDS
            # Who was silent is served once there is something to read.
            late.sendall(
                b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n"
                b"Connection: close\r\n\r\n"
            )
            assert late.recv(65536).startswith(b"HTTP/1.1 200 OK")


@contextmanager
def frozen(store: ObjectStore) -> Iterator[None]:
    """Stop the store's process where it stands: it accepts, and never answers."""
    assert store.process is not None
    os.kill(store.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(store.process.pid, signal.SIGCONT)


class TestFrozenStore:
    def test_health_answers__and_every_record_is_true(
        self, start_service: Any, object_store: ObjectStore, bucket: UploadStorage
    ) -> None:
        service = start_service(
            WEB_CONCURRENCY="1", WEB_THREADS="4", STORE_READ_TIMEOUT_SECONDS="3"
        )
        assert post(service)[0] == 201
        with ThreadPoolExecutor(16) as pool, frozen(object_store):
            waiting = [pool.submit(post, service) for _ in range(16)]
            assert processes.wait_until(
                lambda: sum(future.done() for future in waiting) >= 15, seconds=20
            )
            probes = [service.health_seconds() for _ in range(20)]
            answers = [future.result() for future in waiting]
        assert max(probes) < PROBE_SECONDS
        slugs = [answer["type"].rsplit("/", 1)[-1] for _, answer in answers]
        assert {status for status, _ in answers} == {503}
        # Of two places one is left for other clients.
        assert slugs.count("store-busy") == 15
        assert slugs.count("store-unavailable") == 1
        # Those that never began have no record; the other one says what is known.
        assert Upload.objects.count() == 1 + 1
        assert Upload.objects.filter(status=Status.PENDING).count() == 1
        assert processes.wait_until(lambda: post(service)[0] == 201, seconds=30)
