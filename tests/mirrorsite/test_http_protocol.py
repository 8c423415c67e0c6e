"""What the HTTP protocol refuses, and when it closes a connection."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from email import message_from_bytes
from typing import Any

import pytest
from django.http import HttpResponse

from mirrorsite.server import http_protocol
from mirrorsite.server.application import Application
from mirrorsite.server.fast_path import FastPath
from mirrorsite.server.heads import MAX_BODY_BYTES, MAX_FIELDS
from mirrorsite.server.http_protocol import (
    LINGER_SECONDS,
    MAX_PIPELINED,
    MIN_BYTES_PER_SECOND,
    REQUEST_SECONDS,
    STALL_SECONDS,
)
from mirrorsite.server.request import Request
from tests import problems
from tests.mirrorsite.connections import DATE, Connection, Server, Transport, exchange

HOST = b"Host: localhost\r\n"
GET = b"GET /a HTTP/1.1\r\n" + HOST
POST = b"POST /a HTTP/1.1\r\n" + HOST


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def connection(server: Server) -> Connection:
    return server.connect()


def slug_of(answer: bytes) -> tuple[int, str]:
    """Return status and problem of the last answer."""
    head, _, body = answer[answer.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert head.count(b"\r\ndate: " + DATE) == 1
    first, _, fields = head.partition(b"\r\n")
    status = int(first.split()[1])
    headers: Any = message_from_bytes(fields)
    return status, problems.slug_of(status, headers, body)


MALFORMED = (400, "malformed-http")
NOT_IMPLEMENTED = (501, "transfer-coding-not-implemented")
HEADERS = (431, "headers-too-large")
BODY = (413, "body-too-large")
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"\r\n"

REFUSED = [
    (MALFORMED, b"secret\r\n" + END),
    (MALFORMED, b"GET /secret\r\n" + END),  # HTTP/0.9
    (MALFORMED, b"GET /secret HTTP/2.0\r\n" + HOST + END),
    (MALFORMED, b"PRI * HTTP/2.0\r\n\r\nSM\r\n" + END),
    (MALFORMED, b"GET / HTTP/1.2\r\n" + HOST + END),
    (MALFORMED, b"GET / HTTP/1.1\nHost: localhost\n\n"),
    (MALFORMED, b"get / HTTP/1.1\r\n" + HOST + END),
    ((405, "method-not-allowed"), b"BREW /secret HTTP/1.1\r\n" + HOST + END),
    ((405, "method-not-allowed"), b"CONNECT a:1 HTTP/1.1\r\n" + HOST + END),
    ((405, "method-not-allowed"), b"CONNECT /secret HTTP/1.1\r\n" + HOST + END),
    (MALFORMED, b"GET localhost:1 HTTP/1.1\r\n" + HOST + END),
    (MALFORMED, b"GET * HTTP/1.1\r\n" + HOST + END),
    (MALFORMED, b"OPTIONS * HTTP/1.1\r\n" + HOST + END),
    (MALFORMED, b"GET ftp://a/b HTTP/1.1\r\n" + HOST + END),
    (MALFORMED, b"GET http://u@a/ HTTP/1.1\r\n" + HOST + END),
    (MALFORMED, b"GET /\xe9 HTTP/1.1\r\n" + HOST + END),
    (MALFORMED, b"GET /?word=\xc3\xa9 HTTP/1.1\r\n" + HOST + END),
    (MALFORMED, b"GET /\x01 HTTP/1.1\r\n" + HOST + END),
    (MALFORMED, b"GET / HTTP/1.1\r\n" + END),  # no host
    (MALFORMED, GET + HOST + END),  # two hosts
    (MALFORMED, POST + b"Content-Type: a\r\n" * 2 + END),
    (MALFORMED, GET + b"secret\r\n" + END),
    (MALFORMED, GET + b": secret\r\n" + END),
    (MALFORMED, GET + b"Bad Name: secret\r\n" + END),
    (MALFORMED, GET + b"X : secret\r\n" + END),
    (MALFORMED, GET + b"X: a\r\n secret\r\n" + END),  # folded
    (MALFORMED, GET + b"X: a\x00b\r\n" + END),
    (MALFORMED, GET + b"X: a\x01b\r\n" + END),
    (MALFORMED, GET + b"X: a\x7fb\r\n" + END),
    (MALFORMED, GET + b"X: a\rb\r\n" + END),
    (MALFORMED, POST + b"Content-Length: 1\r\n" * 2 + END + b"a"),
    (MALFORMED, POST + b"Content-Length: 1, 1\r\n" + END + b"a"),
    (MALFORMED, POST + b"Content-Length: +1\r\n" + END + b"a"),
    (MALFORMED, POST + "Content-Length: ٣\r\n".encode() + END + b"abc"),
    (MALFORMED, POST + b"Content-Length: 1\r\n" + CHUNKED + END + b"0\r\n" + END),
    (MALFORMED, POST + CHUNKED + b"Content-Length: 1\r\n" + END + b"0\r\n" + END),
    (MALFORMED, b"POST / HTTP/1.0\r\n" + CHUNKED + END + b"0\r\n" + END),
    (NOT_IMPLEMENTED, POST + b"Transfer-Encoding: gzip\r\n" + END),
    (NOT_IMPLEMENTED, POST + b"Transfer-Encoding: gzip, chunked\r\n" + END),
    (NOT_IMPLEMENTED, POST + b"Transfer-Encoding: secret\r\n" + END),
    (MALFORMED, POST + CHUNKED + END + b"secret\r\n"),
    (MALFORMED, POST + CHUNKED + END + b"1\r\nsecret\r\n"),
    ((417, "expectation-failed"), GET + b"Expect: secret\r\n" + END),
    ((414, "request-line-too-long"), b"GET /" + b"secret" * 9000),
    ((414, "request-line-too-long"), b"GET /%b HTTP/1.1\r\n\r\n" % (b"secret" * 9000)),
    (HEADERS, GET + b"X: " + b"secret" * 2000 + b"\r\n" + END),
    (HEADERS, GET + b"X: secret\r\n" * (MAX_FIELDS + 2)),
    (HEADERS, GET + b"X: secret\r\n" * MAX_FIELDS + END),
    (BODY, POST + b"Content-Length: %d\r\n" % (MAX_BODY_BYTES + 1) + END),
    (BODY, POST + CHUNKED + END + b"1000\r\n%b\r\n" % (b"s" * 0x1000) * 5),
    (BODY, POST + CHUNKED + END + b"0\r\n" + b"X: secret\r\n" * (MAX_FIELDS + 2)),
]


class TestRefused:
    @pytest.mark.parametrize(("expected", "sent"), REFUSED)
    def test_problem_and_closed(self, server, sent, expected, caplog):
        caplog.set_level(logging.INFO)
        connection = server.connect()
        answer = connection.send(sent)
        assert slug_of(answer) == expected
        assert answer.count(b"HTTP/1.1 ") == 1
        # Nothing that was sent is repeated, neither to the client nor in the log.
        assert b"secret" not in answer
        assert "secret" not in caplog.text
        is_405 = expected == (405, "method-not-allowed")
        assert (b"\r\nallow: GET, HEAD, POST, OPTIONS\r\n" in answer) is is_405
        # Closed for writing now; what still comes is read for a moment.
        assert connection.transport.is_half_closed
        assert connection.transport.is_closed is False
        connection.send(GET + END)
        assert connection.after(LINGER_SECONDS + 0.1) == answer
        assert connection.transport.is_closed is True

    @pytest.mark.parametrize(
        ("length", "seconds", "status", "field"),
        [
            (99_999, 0, 413, b"X-Request-ID: %s"),
            (9, 60, 408, b"traceparent: 00-%s-b7ad6b7169203331-01"),
        ],
    )
    def test_body__one_access_line(
        self, connection, caplog, length, seconds, status, field
    ):
        """As for a request that Django answers: its head was valid."""
        caplog.set_level(logging.INFO)
        known = "0af7651916cd43dd8448eb211c80319c"
        head = POST + field % known.encode()
        sent = head + b"\r\nContent-Length: %d\r\n\r\na" % length
        connection.send(sent.replace(b"/a", b"/a?word=secret"))
        answer = connection.after(seconds)
        assert slug_of(answer)[0] == status
        assert json.loads(answer.rpartition(b"\r\n")[2])["instance"] == "/a"
        [line] = [r.fields for r in caplog.records if r.name.startswith("gunicorn")]
        assert line | {"duration_ms": 0, "bytes": 0} == {
            "method": "POST",
            "path": "/a",
            "route": "",
            "status": status,
            "duration_ms": 0,
            "bytes": 0,
            "request_id": known,
            "client": "192.0.2.1",
        }
        assert "secret" not in caplog.text

    def test_body__client_behind_two_proxies(self, connection, caplog, settings):
        """The second one names its peer in a field of its own."""
        caplog.set_level(logging.INFO, "gunicorn.access")
        settings.TRUSTED_PROXIES = 2
        hops = b"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 192.0.2.9\r\n"
        connection.send(POST + hops + b"Content-Length: 99999\r\n\r\n")
        assert caplog.records[0].fields["client"] == "198.51.100.7"

    def test_byte_by_byte__the_same(self):
        for expected, sent in REFUSED:
            if len(sent) < 200 and not sent.startswith(b"BREW"):
                pieces = [sent[place : place + 1] for place in range(len(sent))]
                assert slug_of(exchange(*pieces)) == expected

    @pytest.mark.parametrize(
        ("head", "expected"),
        [
            (b"GET /", (414, "request-line-too-long")),
            (GET + b"X: ", HEADERS),
            (POST + CHUNKED + END + b"1;", BODY),
            (POST + CHUNKED + END + b"0\r\nX: ", BODY),
        ],
    )
    def test_endless__not_kept(self, connection, head, expected):
        assert slug_of(connection.send(head, *[b"a" * 16_384] * 9)) == expected

    def test_endless_in_one_read__not_kept(self, connection):
        assert slug_of(connection.send(GET + b"X: " + b"a" * 140_000)) == HEADERS

    @pytest.mark.parametrize(
        "sent", [b"secret\r\n\r\n", POST + CHUNKED + END + b"secret\r\n"]
    )
    def test_after_an_answer_under_way__that_one_first(self, server, sent):
        server.application.may_answer.clear()
        connection = server.connect()
        assert connection.send(GET + END, sent) == b""
        assert connection.after(3600) == b""
        assert not connection.transport.is_closed
        server.application.may_answer.set()
        server.run()
        assert connection.statuses == [200]
        assert connection.transport.is_closed

    def test_behind_another_request__logged_as_malformed(self, connection, caplog):
        """That request's method is not taken for an unknown one."""
        caplog.set_level(logging.INFO)
        connection.send(GET + END + b"secret")
        assert connection.statuses == [200]
        assert "request not read: malformed-http" in caplog.text

    def test_bug_of_ours__internal_error(self, connection, make_fail):
        make_fail(FastPath, "answer", RuntimeError("internal name"))
        connection.protocol.app.fast_path = FastPath({b"/a": lambda query: None})
        answer = connection.send(GET + END)
        assert slug_of(answer) == (500, "internal-error")
        assert b"internal name" not in answer


ACCEPTED = [
    b"GET /a?word=" + b"%F0%9F%98%80" * 2000 + b" HTTP/1.1\r\n" + HOST,
    GET + b"X: a\r\n" * (MAX_FIELDS - 1),
    GET + b"X: %b\r\n" % (b"a" * 8000),
    b"\r\n\r\n" + GET,
    GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
    b"GET /a HTTP/1.0\r\n",
    b"GET http://localhost/a HTTP/1.1\r\n" + HOST,
    POST + b"Content-Length: 0\r\n",
    POST + b"Content-Length: 0\r\nExpect: 100-Continue\r\n",
]


class TestAccepted:
    @pytest.mark.parametrize("head", ACCEPTED)
    def test_answered(self, connection, head):
        answer = connection.send(head + END)
        assert connection.statuses[-1] == 200
        assert answer.endswith(b"/a ")

    def test_absolute_form__its_host_counts(self, server):
        server.connect().send(b"GET HTTP://other.example?x=1 HTTP/1.1\r\n%b\r\n" % HOST)
        [scope] = server.application.scopes
        assert (scope["raw_path"], scope["query_string"]) == (b"/", b"x=1")
        assert scope["headers"] == [(b"host", b"other.example")]

    def test_body__in_one_piece_or_in_chunks(self, server):
        body = b"b" * MAX_BODY_BYTES
        sent = POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        assert server.connect().send(sent).endswith(b" " + body)
        chunked = b"4000\r\n%b\r\n0\r\nX-Trailer: a\r\n\r\n" % body
        sent = POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunked
        assert server.connect().send(sent).endswith(b" " + body)
        # A trailer field is none of the header's.
        assert all(
            b"x-trailer" not in dict(s["headers"]) for s in server.application.scopes
        )

    @pytest.mark.parametrize(
        ("lines", "is_kept"),
        [
            (b"", True),
            (b"Connection: keep-alive\r\n", True),
            (b"Connection: close\r\n", False),
            (b"Connection: keep-alive, close\r\n", False),
            (b"Connection: keep-alive\r\nConnection: close\r\n", False),
        ],
    )
    def test_connection_field(self, connection, lines, is_kept):
        answer = connection.send(GET + lines + b"\r\n")
        assert (b"connection: close" not in answer) is is_kept
        assert connection.transport.is_closed is not is_kept

    @pytest.mark.parametrize(
        "body",
        [
            b"\r\n",
            b"Content-Length: 3\r\n\r\nabc",
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ],
    )
    def test_upgrade__ignored(self, connection, body):
        """Java's client sends it with each request, with a body or without."""
        upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
        sent = POST + upgrade + body + GET + END
        for size in (len(sent), len(POST) + len(upgrade) + len(body) // 2, 1):
            connection = connection.server.connect()
            parts = [sent[at : at + size] for at in range(0, len(sent), size)]
            answer = connection.send(*parts)
            assert connection.statuses == [200, 200]
            assert (b"/a abc" in answer) is (b"abc" in body)

    def test_expectation__continued(self, connection):
        head = POST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        assert connection.send(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert connection.send(b"abc").endswith(b"/a abc")


class TestPipelined:
    def test_each_answered_in_order(self, connection):
        requests = [b"GET /%d HTTP/1.1\r\n%b\r\n" % (n, HOST) for n in range(20)]
        answer = connection.send(b"".join(requests))
        places = [answer.index(b"\r\n\r\n/%d " % n) for n in range(20)]
        assert places == sorted(places)

    @pytest.fixture
    def waiting(self) -> Iterator[Connection]:
        """Return a connection with a request that a thread works on, and one behind it."""
        may_answer = threading.Event()

        def get_response(request: Request) -> HttpResponse:
            may_answer.wait(30)
            return HttpResponse(b"ok")

        server = Server(Application(get_response, {}, threads=1))
        connection = server.connect()
        connection.send(GET + END + GET + END)
        yield connection
        may_answer.set()
        server.close()

    def test_no_more_is_read_while_they_wait(self, waiting):
        assert waiting.transport.is_reading is False

    def test_shutdown_takes_too_long__the_next_one_is_not_begun(self, waiting):
        """The process ends, and would cut it off."""
        for task in waiting.server.state.tasks:
            task.cancel()  # as uvicorn does
        waiting.server.run()
        assert waiting.statuses == [500]
        assert waiting.transport.is_closed

    def test_parts_begin_and_end_within_requests__each_answered(self, connection):
        """However many bytes they are in total: no single request is large."""
        sent = (GET + b"X: %b\r\n" % (b"a" * 1000) + END) * 200
        for at in range(0, len(sent), 1500):
            connection.send(sent[at : at + 1500])
        assert connection.statuses == [200] * 200

    def test_too_many__disconnected(self, connection):
        connection.send((GET + END) * (MAX_PIPELINED + 2))
        assert connection.transport.is_aborted


class TestDeadlines:
    @pytest.mark.parametrize("sent", [GET, POST + b"Content-Length: 5\r\n\r\nabc"])
    def test_half_a_request__408(self, connection, sent):
        assert connection.send(sent) == b""
        assert connection.after(REQUEST_SECONDS - 0.5) == b""
        assert slug_of(connection.after(REQUEST_SECONDS + 0.5)) == (
            408,
            "request-timeout",
        )

    def test_a_byte_at_a_time__no_longer(self, connection, server, monkeypatch):
        connection.send(GET + b"X: ")
        begun = server.loop.time()
        for second in range(1, 10):
            monkeypatch.setattr(server.loop, "time", lambda s=second: begun + s)
            connection.send(b"a")
            assert connection.after(0) == b""
        assert slug_of(connection.after(2))[0] == 408

    @pytest.mark.parametrize("sent", [b"", b"\r\n", GET + END])
    def test_idle__closed_after_a_while(self, connection, sent):
        connection.send(sent)
        connection.after(74)
        assert not connection.transport.is_closed
        connection.after(76)
        assert connection.transport.is_closed

    def test_closing_and_unread__aborted(self, connection):
        """A client that does not read keeps a connection from being closed."""
        connection.send(GET + b"Connection: close\r\n\r\n")
        assert connection.transport.is_closed
        connection.after(76)
        assert connection.transport.is_aborted


class TestSlowReader:
    @pytest.fixture
    def stalled(self, connection: Connection) -> Connection:
        connection.send(GET + END)
        connection.transport.unread = 10 * 1024 * 1024
        connection.protocol.pause_writing()
        return connection

    def test_reads_nothing__disconnected(self, stalled):
        stalled.after(STALL_SECONDS - 0.5)
        assert not stalled.transport.is_aborted
        stalled.after(STALL_SECONDS + 0.5)
        assert stalled.transport.is_aborted

    @pytest.mark.parametrize(("share", "is_aborted"), [(0.5, True), (1.1, False)])
    def test_reads_slowly__as_fast_as_it_must(self, stalled, share, is_aborted):
        for second in range(1, 31):
            stalled.transport.unread -= int(share * MIN_BYTES_PER_SECOND)
            stalled.after(second)
        assert stalled.transport.is_aborted is is_aborted


class TestManyConnections:
    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_protocol, "MAX_CONNECTIONS", 3)
        monkeypatch.setattr(http_protocol, "CONNECTIONS_TO_CLOSE", 1)

    @pytest.mark.parametrize("sent", [GET, POST + b"Content-Length: 9\r\n\r\na"])
    def test_one_more__the_half_sent_request_goes(self, server, sent):
        server.application.may_answer.clear()
        half, *busy = (server.connect() for _ in range(3))
        half.send(sent)
        for connection in busy:
            connection.send(GET + END + GET)  # and half of the next
        late = server.connect()
        assert half.transport.is_aborted
        assert not any(c.transport.is_closed for c in (*busy, late))

    def test_all_busy__refused(self, server):
        server.application.may_answer.clear()
        busy = [server.connect() for _ in range(3)]
        for connection in busy:
            connection.send(GET + END)
        late = server.connect()
        assert slug_of(late.transport.written) == (503, "server-busy")
        assert b"\r\nretry-after: 5\r\n" in late.transport.written
        assert not any(connection.transport.is_closed for connection in busy)


class TestEnding:
    def test_idle__request_within_a_moment_answered_and_closed(self, connection):
        connection.send(GET + END)
        connection.protocol.shutdown()
        assert not connection.transport.is_closed
        answer = connection.send(GET + END)
        assert connection.statuses == [200, 200]
        assert answer.count(b"connection: close") == 1
        assert connection.transport.is_closed

    def test_under_way__answered_and_closed(self, server):
        server.application.may_answer.clear()
        connection = server.connect()
        connection.send(GET + END)
        assert connection.after(3600) == b""
        connection.protocol.shutdown()
        server.application.may_answer.set()
        server.run()
        assert connection.statuses == [200]
        assert b"connection: close" in connection.transport.written


class TestClientGone:
    def test_before_it_was_accepted__its_request_is_not_carried_out(self, server):
        """It has no address any more, so no quota would count it."""
        connection = server.connect(Transport(peer=None))
        assert connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        assert server.application.scopes == []
        assert connection.transport.is_aborted

    def test_every_request_of_the_pipeline_ends__and_the_application_can_tell(
        self, server
    ):
        """The first waits for its body's reader, the second in the queue."""
        server.application.may_answer.clear()
        connection = server.connect()
        connection.send(GET + END + GET + END)
        [scope] = server.application.scopes
        assert scope["state"]["is_closed"]() is False
        connection.lose()
        assert scope["state"]["is_closed"]() is True
        server.application.may_answer.set()
        server.run()
        assert connection.transport.written == b""
