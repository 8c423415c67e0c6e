"""The ASGI application: its queue, its threads, streams, and how it starts."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import REGISTRY

from mirrorsite.logs import current_request_id
from mirrorsite.middleware import EdgeMiddleware
from mirrorsite.server import application as module
from mirrorsite.server import threads
from mirrorsite.server.application import Application
from mirrorsite.server.calls import STREAM_BYTES, GetResponse
from mirrorsite.server.request import Request
from mirrorsite.server.threads import QUEUE_PER_THREAD
from tests.mirrorsite.connections import scope_of, until

HEALTH = b"/api/health"


class Client:
    """One request and what was sent to it."""

    def __init__(
        self, body: bytes | None = b"", path: str = "/api/x", **scope: Any
    ) -> None:
        self.is_gone = False
        self.scope = scope_of(path.encode()) | scope
        self.scope["state"] = {"is_closed": lambda: self.is_gone}
        self.body = body
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.received = b""
        self.pieces = 0
        self.is_complete = False
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def receive(self) -> dict[str, Any]:
        if self.body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        await self.may_read.wait()
        if message["type"] == "http.response.start":
            assert not self.status
            self.status, self.fields = message["status"], dict(message["headers"])
        else:
            self.received += message["body"]
            self.pieces += 1
            self.is_complete = not message.get("more_body", False)

    async def ask(self, application: Application) -> Client:
        await application(self.scope, self.receive, self.send)
        return self


class Work:
    """Stands for Django: answers when a test allows it, and counts its running calls."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.begun: list[str] = []

    def __call__(self, request: Request) -> HttpResponseBase:
        with self.lock:
            self.begun.append(request.path)
        assert self.go.wait(30)
        return HttpResponse(b"ok")


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.go.set()


@pytest.fixture
def access_lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    """Return a function that returns the fields of the access log's lines."""
    name = "gunicorn.access"
    caplog.set_level(logging.INFO, name)
    return lambda: [vars(r)["fields"] for r in caplog.records if r.name == name]


def make(get_response: GetResponse, threads: int = 2) -> Application:
    return Application(
        get_response, {HEALTH: lambda query: (b"{}", [])}, threads=threads
    )


class TestRequest:
    def test_header_fields(self):
        headers = [
            (b"host", b"localhost:1"),
            (b"x-a", b"1"),
            (b"x-a", b"2"),
            (b"x_b", b"dropped"),
            (b"content-type", b"text/plain"),
        ]
        scope = scope_of(b"/a%C3%A9%2Fb", b"word=%C3%A9") | {"headers": headers}
        request = Request(scope, io.BytesIO())
        assert (request.path, request.GET["word"]) == ("/aé/b", "é")
        assert (
            request.META.items()
            >= {
                "HTTP_HOST": "localhost:1",
                "HTTP_X_A": "1,2",
                "CONTENT_TYPE": "text/plain",
                "REMOTE_ADDR": "192.0.2.1",
                "SERVER_PORT": "4545",
                "mirrorsite.path": "/a%C3%A9/b",
            }.items()
        )
        assert "HTTP_X_B" not in request.META


class TestAnswers:
    async def test_body_in_and_out(self):
        def echo(request: Request) -> HttpResponseBase:
            length = request.META["CONTENT_LENGTH"].encode()
            body = request.body + length
            response = HttpResponse(body, status=201, headers={"X-Name": "Ã©"})
            response.set_cookie("a", "1")
            return response

        headers = [(b"content-length", b"4")]
        client = await Client(b"body", method="POST", headers=headers).ask(make(echo))
        assert (client.status, client.received) == (201, b"body4")
        assert client.fields[b"x-name"] == "é".encode()
        assert client.fields[b"set-cookie"] == b"a=1; Path=/"

    async def test_application_fails__problem(self, caplog):
        client = await Client().ask(
            make(Mock(side_effect=RuntimeError("internal name")))
        )
        assert client.status == 500
        problem = json.loads(client.received)
        assert problem["type"] == "/api/problems/internal-error"
        assert problem["request_id"] == "known"
        assert b"internal name" not in client.received
        assert "internal name" in caplog.text

    async def test_client_leaves_within_its_body__not_asked(self, work):
        headers = [(b"content-length", b"4")]
        client = await Client(None, headers=headers).ask(make(work))
        assert client.status == 0
        assert work.begun == []


class TestQueue:
    async def test_full__503_and_the_others_are_answered(self, work, access_lines):
        application = make(work, threads=1)
        clients = [Client() for _ in range(1 + QUEUE_PER_THREAD)]
        first = asyncio.create_task(clients[0].ask(application))
        await until(lambda: len(work.begun) == 1)
        others = [asyncio.create_task(c.ask(application)) for c in clients[1:]]
        await asyncio.sleep(0)
        refused = await Client().ask(application)
        assert refused.status == 503
        # A request that never ends does not keep the process from ending.
        assert all(t.daemon for t in threading.enumerate() if "request" in t.name)
        assert int(refused.fields[b"retry-after"]) > 0
        problem = json.loads(refused.received)
        assert problem["type"] == "/api/problems/server-busy"
        assert problem["instance"] == "/api/x"
        assert problem["request_id"] == "known"
        work.go.set()
        await asyncio.gather(first, *others)
        assert {client.status for client in clients} == {200}
        statuses = sorted(line["status"] for line in access_lines())
        assert statuses == [200] * (1 + QUEUE_PER_THREAD) + [503]

    async def test_first_come_first_served(self, work):
        application = make(work, threads=1)
        tasks = []
        for number in range(20):
            client = Client(path=f"/{number}")
            tasks.append(asyncio.create_task(client.ask(application)))
            await asyncio.sleep(0)
        work.go.set()
        await asyncio.gather(*tasks)
        assert work.begun == [f"/{number}" for number in range(20)]

    async def test_client_leaves_while_it_waits__not_begun(self, work, access_lines):
        application = make(work, threads=1)
        stays, leaves = Client(path="/stays"), Client(path="/leaves")
        first = asyncio.create_task(stays.ask(application))
        await until(lambda: len(work.begun) == 1)
        second = asyncio.create_task(leaves.ask(application))
        await asyncio.sleep(0)
        leaves.is_gone = True
        work.go.set()
        await asyncio.gather(first, second)
        assert (stays.status, leaves.status) == (200, 0)
        assert work.begun == ["/stays"]
        assert {
            (line["path"], line["status"], line["request_id"])
            for line in access_lines()
        } == {("/stays", 200, "known"), ("/leaves", 499, "known")}

    async def test_waits_too_long__503(self, work, monkeypatch):
        monkeypatch.setattr(threads, "QUEUE_SECONDS", 0.05)
        application = make(work, threads=1)
        runs, waits = Client(path="/runs"), Client(path="/waits")
        first = asyncio.create_task(runs.ask(application))
        await until(lambda: len(work.begun) == 1)
        await waits.ask(application)
        assert waits.status == 503
        work.go.set()
        await first
        assert runs.status == 200  # what runs is not interrupted
        assert work.begun == ["/runs"]

    async def test_cancelled_while_it_runs__500_and_its_late_answer_is_dropped(
        self, work, caplog, access_lines
    ):
        """As by uvicorn at the end of a graceful shutdown's time."""
        application = make(work, threads=1)
        client = Client()
        task = asyncio.create_task(client.ask(application))
        await until(lambda: work.begun)
        task.cancel()
        await task
        assert (client.status, client.is_complete) == (500, True)
        assert json.loads(client.received)["type"] == "/api/problems/internal-error"
        assert client.fields[b"x-request-id"] == b"known"
        [line] = access_lines()
        assert (line["status"], line["bytes"]) == (500, len(client.received))
        logged = len(caplog.records)
        work.go.set()
        await Client().ask(application)  # by the same thread, after it
        assert len(caplog.records) == logged + 1  # the line of the last

    async def test_all_threads_busy__health_has_its_own(self, work: Work):
        def get_response(request: Request) -> HttpResponseBase:
            if request.path == HEALTH.decode():
                headers = {"X-Kept": "yes", "X-Request-ID": "own"}
                return HttpResponse(b"{}", headers=headers)
            return work(request)

        application = make(get_response, threads=1)
        held = asyncio.create_task(Client().ask(application))
        await until(lambda: len(work.begun) == 1)
        health = await Client(path=HEALTH.decode()).ask(application)
        assert (health.status, health.received) == (200, b"{}")
        # And is remembered for the fast path.
        answer = application.fast_path.answer(
            HEALTH, b"", {b"host": b"localhost"}, "http"
        )
        assert answer is not None
        assert b"x-kept: yes\r\n" in answer.head
        assert b"own" not in answer.head
        work.go.set()
        await held


class Stream:
    """Django's part: streams `count` pieces and notices its end."""

    def __init__(self, count: int = 1000) -> None:
        self.count = count
        self.made = 0
        self.is_closed = threading.Event()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return StreamingHttpResponse(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        try:
            for _ in range(self.count):
                self.made += 1
                yield b"a" * STREAM_BYTES
        finally:
            self.is_closed.set()


class TestStreams:
    async def test_all_of_it(self):
        stream = Stream(20)
        client = await Client().ask(make(stream))
        assert client.received == b"a" * STREAM_BYTES * 20
        assert client.is_complete
        assert client.pieces > 2
        assert stream.is_closed.is_set()

    async def test_short__in_one_piece(self):
        def short(request: Request) -> HttpResponseBase:
            return StreamingHttpResponse([b"a", b"b"])

        client = await Client().ask(make(short))
        assert (client.received, client.pieces) == (b"ab", 1)

    async def test_slow_reader__waited_for_until_it_leaves(self, access_lines):
        """No more is made than the client has taken."""
        stream = Stream()
        client = Client()
        task = asyncio.create_task(client.ask(make(stream)))
        await until(lambda: client.pieces > 3)
        client.may_read.clear()
        await asyncio.sleep(0.1)
        assert stream.made - client.pieces <= 3
        client.is_gone = True
        client.may_read.set()
        await task
        assert not client.is_complete
        assert stream.made < 1000
        assert stream.is_closed.wait(10)
        [line] = access_lines()
        assert line["status"] == 499
        assert 3 * STREAM_BYTES <= line["bytes"] <= len(client.received)

    async def test_many_slow_readers__others_are_answered(self):
        """One thread at least streams, and two never do."""
        stream = Stream(10**9)

        def get_response(request: Request) -> HttpResponseBase:
            return stream(request) if request.path == "/stream" else HttpResponse(b"ok")

        application = make(get_response, 4)
        readers = [Client(path="/stream") for _ in range(4)]
        tasks = [asyncio.create_task(c.ask(application)) for c in readers]
        await until(lambda: sum(bool(c.status) for c in readers) == 4)
        assert sorted(c.status for c in readers) == [200, 200, 503, 503]
        for client in readers:
            client.may_read.clear()
        other = await Client().ask(application)
        assert (other.status, other.received) == (200, b"ok")
        for client in readers:
            client.is_gone = True
            client.may_read.set()
        await asyncio.gather(*tasks)
        # A stream that has ended leaves its place to the next.
        last = Client(path="/stream")
        task = asyncio.create_task(last.ask(application))
        await until(lambda: last.pieces > 0)
        assert last.status == 200
        last.is_gone = True
        await task

    async def test_too_many__each_counted_once_as_it_is_answered(self):
        def count(status: str) -> float:
            name = "mirrorsite_request_duration_seconds_count"
            labels = {"route": "unmatched", "method": "GET", "status": status}
            return REGISTRY.get_sample_value(name, labels) or 0.0

        before = {status: count(status) for status in ("200", "499", "503")}
        application = make(EdgeMiddleware(Stream(10**9)), 3)
        reader = Client()
        task = asyncio.create_task(reader.ask(application))
        await until(lambda: reader.status == 200)
        assert (await Client().ask(application)).status == 503
        reader.is_gone = True
        await task
        counted = {status: count(status) - before[status] for status in before}
        assert counted == {"200": 0, "499": 1, "503": 1}

    async def test_fails_half_way__connection_is_cut(self, access_lines):
        def pieces() -> Iterator[bytes]:
            yield b"a" * STREAM_BYTES
            raise RuntimeError("broken")

        client = Client()
        with pytest.raises(RuntimeError, match="broken"):
            await client.ask(make(lambda request: StreamingHttpResponse(pieces())))
        assert not client.is_complete
        [line] = access_lines()
        assert (line["status"], line["bytes"]) == (200, STREAM_BYTES)

    async def test_end_of_it__sent_without_its_request_id(self):
        """There, the server begins the next pipelined request."""
        seen = []

        class NextClient(Client):
            async def send(self, message: dict[str, Any]) -> None:
                seen.append(current_request_id.get())

        def get_response(request: Request) -> HttpResponseBase:
            current_request_id.set("this")
            return StreamingHttpResponse([b"a" * STREAM_BYTES])

        current_request_id.set("")
        await NextClient().ask(make(get_response))
        assert set(seen) == {""}

    @pytest.mark.parametrize("first", [STREAM_BYTES, 0])
    async def test_fails__logged_with_its_request_id(self, caplog, first):
        def get_response(request: Request) -> HttpResponseBase:
            request.META["mirrorsite.request_id"] = "this"
            return StreamingHttpResponse(pieces())

        def pieces() -> Iterator[bytes]:
            yield b"a" * first
            raise RuntimeError("broken")

        seen = []

        def keep_id(record: logging.LogRecord) -> bool:
            seen.append(current_request_id.get())
            return True

        caplog.handler.addFilter(keep_id)
        current_request_id.set("")
        try:
            await Client().ask(make(get_response))
        except RuntimeError:
            seen.append(current_request_id.get())  # where the server logs it
        finally:
            caplog.handler.removeFilter(keep_id)
        assert seen[0] == "this"

    async def test_http_1_0__with_a_length(self):
        """Its client cannot read chunks."""
        client = await Client(http_version="1.0").ask(make(Stream(5)))
        assert client.fields[b"content-length"] == b"%d" % (5 * STREAM_BYTES)
        assert client.received == b"a" * STREAM_BYTES * 5

    async def test_http_1_0_client_leaves__its_file_is_closed(self, monkeypatch):
        """At once, since it may be large: not when garbage is collected."""
        file = io.BytesIO()
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda: file)
        client = Client(http_version="1.0")
        client.may_read.clear()
        task = asyncio.create_task(client.ask(make(Stream(5))))
        await until(lambda: file.getbuffer().nbytes == 5 * STREAM_BYTES)
        client.is_gone = True
        gc.disable()
        try:
            client.may_read.set()
            await task
            assert file.closed
        finally:
            gc.enable()

    async def test_http_1_0_while_too_many_stream__refused_before_all_is_read(self):
        streams = Stream(10**9)
        application = make(lambda request: streams(request), 3)
        reader = Client()
        task = asyncio.create_task(reader.ask(application))
        await until(lambda: reader.status == 200)
        reader.may_read.clear()
        second = Stream(5)
        streams = second
        client = await Client(http_version="1.0").ask(application)
        assert (client.status, second.made) == (503, 1)
        reader.is_gone = True
        reader.may_read.set()
        await task

    @pytest.mark.parametrize(
        ("method", "status", "length"),
        [("POST", 405, b"0"), ("HEAD", 200, None), ("GET", 304, None)],
    )
    async def test_http_1_0_short__with_a_length(self, method, status, length):
        def empty(request: Request) -> HttpResponseBase:
            return StreamingHttpResponse((), status=status)

        client = await Client(http_version="1.0", method=method).ask(make(empty))
        assert client.fields.get(b"content-length") == length


class TestStart:
    async def start(self, warm_up: Callable[[], object]) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, str]:
            return {}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        application = Application(Stream(1), {}, threads=1, warm_up=warm_up)
        await application({"type": "lifespan"}, receive, send)
        return sent

    @pytest.mark.parametrize("error", [OSError, TimeoutError])
    async def test_warm_up_fails__logged(self, caplog, error):
        fail = Mock(side_effect=error("the token service is unreachable"))
        sent = await self.start(fail)
        assert [m["type"] for m in sent] == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]
        assert "the token service is unreachable" in caplog.text

    async def test_warm_up_hangs__not_waited_for(self, caplog, monkeypatch):
        monkeypatch.setattr(module, "WARM_UP_SECONDS", 0.05)
        end = threading.Event()
        try:
            sent = await self.start(lambda: end.wait(30))
        finally:
            end.set()
        assert sent[0]["type"] == "lifespan.startup.complete"
        assert "warm-up" in caplog.text

    async def test_misconfigured__does_not_start(self):
        [message] = await self.start(
            Mock(side_effect=ImproperlyConfigured("set X to y."))
        )
        assert message == {
            "type": "lifespan.startup.failed",
            "message": "mirrorsite cannot start: set X to y.",
        }
