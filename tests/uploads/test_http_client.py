"""The object store's HTTP client, against a server with scripted answers."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httptools
import pytest

from uploads.exceptions import StoreUnavailableError
from uploads.payloads import MAX_CHUNK_BYTES
from uploads.storage.http_client import HTTPClient

OK = b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 0\r\n\r\n"
CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


class Server:
    """Reads each request whole, and lets `answer` do the rest with the connection."""

    def __init__(
        self, answer: Callable[[socket.socket], object], tls: ssl.SSLContext | None
    ) -> None:
        self.answer = answer
        self.tls = tls
        self.connections: list[socket.socket] = []
        self.bodies: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.origin = origin_of(self._listener, tls)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while head := _read_until(connection, b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split()[0])
                body = b""
                while len(body) < length:
                    body += connection.recv(length - len(body))
                self.bodies.append(body)
                self.answer(connection)
        except OSError:
            pass


def origin_of(listener: socket.socket, tls: ssl.SSLContext | None = None) -> str:
    host = "https://localhost" if tls else "http://127.0.0.1"
    return f"{host}:{listener.getsockname()[1]}"


def _read_until(connection: socket.socket, end: bytes) -> bytes:
    read = b""
    while not read.endswith(end):
        byte = connection.recv(1)
        if not byte:
            return b""
        read += byte
    return read


@contextmanager
def serving(
    answer: Callable[[socket.socket], object], tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    server = Server(answer, tls)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def make_client() -> Iterator[Callable[..., HTTPClient]]:
    clients: list[HTTPClient] = []

    def make(read_timeout: float = 5, certificates: str = "") -> HTTPClient:
        clients.append(
            HTTPClient(
                certificates=certificates,
                proxy=None,
                connect_timeout=5,
                read_timeout=read_timeout,
            )
        )
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., HTTPClient]) -> HTTPClient:
    return make_client()


def put(client: HTTPClient, server: Server, body: bytes = b"body"):
    """Return the answer, and its content."""
    url = f"{server.origin}/bucket/key"
    answer = client.send("PutObject", "PUT", url, {}, chunks_of(body))
    return answer, answer.read()


def chunks_of(body: bytes) -> list[bytes]:
    starts = range(0, len(body), MAX_CHUNK_BYTES)
    return [body[start : start + MAX_CHUNK_BYTES] for start in starts]


def end(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer)
    connection.shutdown(socket.SHUT_RDWR)


class TestAnswers:
    @pytest.mark.parametrize("size", [0, 1, 70_000, 8 * 1024 * 1024])
    def test_body_arrives_whole(self, client, size):
        with serving(lambda connection: connection.sendall(OK)) as server:
            answer, _ = put(client, server, bytes(size))
            assert (answer.status, answer.fields["etag"]) == (200, "e")
            assert server.bodies == [bytes(size)]

    @pytest.mark.parametrize("pause", [False, True])
    def test_interim_answer__is_skipped(self, client, pause):
        def answer(connection):
            connection.sendall(b"HTTP/1.1 100 Continue\r\nX: interim\r\n\r\n")
            if pause:
                time.sleep(0.05)
            connection.sendall(OK)

        with serving(answer) as server:
            for _ in range(2):
                answered, _ = put(client, server)
                assert (answered.status, answered.fields.get("x")) == (200, None)
            assert len(server.connections) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nwhy",
            b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nw\r\n2\r\nhy\r\n0\r\n\r\n",
        ],
    )
    def test_byte_by_byte(self, client, answer):
        def drip(connection):
            for byte in answer:
                connection.sendall(bytes([byte]))

        with serving(drip) as server:
            for _ in range(2):
                answered, content = put(client, server)
                assert (answered.status, content) == (403, b"why")
            assert len(server.connections) == 1

    def test_without_length__ends_with_the_connection(self, client):
        with serving(lambda c: end(c, b"HTTP/1.1 503 No\r\n\r\nwhy")) as server:
            for _ in range(2):
                answered, content = put(client, server)
                assert (answered.status, content) == (503, b"why")
            assert len(server.connections) == 2

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nETag: e",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwhy",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nwhy",
            b"HTTP/1.1 100 Continue\r\n\r\n",
        ],
    )
    def test_cut_off__error(self, client, answer):
        with (
            serving(lambda connection: end(connection, answer)) as server,
            pytest.raises(ConnectionResetError),
        ):
            put(client, server)

    def test_no_http__error(self, client):
        with (
            serving(lambda connection: end(connection, b"220 mail\r\n")) as server,
            pytest.raises(httptools.HttpParserError),
        ):
            put(client, server)

    @pytest.mark.parametrize("rest", [OK, OK[:20]])
    def test_two_answers__the_second_is_nobodys(self, client, rest):
        refused = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
        answers = [refused + rest, refused]
        with serving(lambda connection: connection.sendall(answers.pop(0))) as server:
            if rest == OK:
                with pytest.raises(httptools.HttpParserError):
                    put(client, server)
            else:
                assert put(client, server)[0].status == 403
            assert put(client, server)[0].status == 403
            assert len(server.connections) == (2 if rest == OK else 1)

    def test_head_with_content__a_new_connection(self, client):
        """What arrives of it later would be taken for the next answer."""
        answer = b"HTTP/1.1 400 No\r\nContent-Length: 9\r\n\r\nwhy"
        with serving(lambda connection: connection.sendall(answer)) as server:
            url = f"{server.origin}/bucket/key"
            headers = {"content-length": "0"}
            answered = client.send("HeadObject", "HEAD", url, headers)
            assert (answered.status, answered.read()) == (400, b"")
            answer = OK
            assert put(client, server)[0].status == 200
            assert len(server.connections) == 2

    def test_trailers__are_not_header_fields(self, client):
        answer = OK.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        with serving(
            lambda connection: connection.sendall(answer + b"0\r\nETag: t\r\n\r\n")
        ) as server:
            assert put(client, server)[0].fields["etag"] == "e"


class TestTimeouts:
    def test_body_that_is_not_read__ends_in_time(self, make_client):
        client = make_client(read_timeout=0.3)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            origin = origin_of(listener)
            chunks = chunks_of(bytes(32 * 1024 * 1024))
            with pytest.raises(TimeoutError):
                client.send("PutObject", "PUT", f"{origin}/", {}, chunks)

    def test_body_that_is_read_slowly__succeeds(self, make_client):
        """It takes longer than the timeout, and no part of it does."""
        client = make_client(1.0)
        size = 32 * 1024 * 1024

        def read_slowly():
            connection, _ = listener.accept()
            with connection:
                _read_until(connection, b"\r\n\r\n")
                left = size
                while left:
                    left -= len(connection.recv(min(left, 1024 * 1024)))
                    time.sleep(0.05)
                connection.sendall(OK)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=read_slowly)
            thread.start()
            before = time.monotonic()
            answer = client.send(
                "PutObject",
                "PUT",
                f"{origin_of(listener)}/",
                {},
                chunks_of(bytes(size)),
            )
            assert answer.status == 200
            assert time.monotonic() - before > 1.0
            answer.close()
            thread.join()


class TestConnections:
    @pytest.mark.parametrize(
        ("answer", "between", "connections"),
        [
            (OK, lambda connection: None, 1),
            (OK, lambda connection: connection.shutdown(socket.SHUT_RDWR), 2),
            (CLOSING, lambda connection: None, 2),
        ],
        ids=["kept", "closed while idle", "closing"],
    )
    def test_is_used_again_if_open(self, client, answer, between, connections):
        with serving(lambda connection: connection.sendall(answer)) as server:
            put(client, server)
            between(server.connections[0])
            assert put(client, server)[0].status == 200
            assert len(server.connections) == connections

    def test_after_an_error__a_new_one(self, client):
        """What is left of the first answer is not taken for the second."""
        answers = [OK.replace(b"Content-Length: 0", b"Content-Length: x"), OK]
        with serving(lambda connection: connection.sendall(answers.pop(0))) as server:
            with pytest.raises(httptools.HttpParserError):
                put(client, server)
            assert put(client, server)[0].status == 200
            assert len(server.connections) == 2

    def test_refused_while_the_body_is_sent__answer_is_read(self, client):
        """A store may refuse by the head alone, and close."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def refuse():
                connection, _ = listener.accept()
                _read_until(connection, b"\r\n\r\n")
                connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
                connection.close()  # with a reset, as most of the body is not read

            thread = threading.Thread(target=refuse)
            thread.start()
            origin = origin_of(listener)
            answer = client.send(
                "PutObject", "PUT", f"{origin}/", {}, [bytes(4 * 1024 * 1024)]
            )
            assert answer.status == 403
            client.close()
            thread.join()

    def test_authorities__are_read_once(self, certified, make_client):
        tls, authority = certified
        client = make_client(certificates=str(authority))
        with serving(lambda connection: connection.sendall(CLOSING), tls) as server:
            put(client, server)
            authority.unlink()
            assert put(client, server)[0].status == 200
            assert len(server.connections) == 2

    def test_nobody_listens__nothing_was_sent(self, client):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            origin = origin_of(listener)
        with pytest.raises(StoreUnavailableError) as caught:
            client.send("PutObject", "PUT", f"{origin}/", {})
        assert caught.value.outcome_unknown is False

    def test_many_threads(self, client):
        with serving(lambda connection: connection.sendall(OK)) as server:
            threads = [
                threading.Thread(
                    target=lambda n=n: [
                        put(client, server, b"%d" % n) for _ in range(50)
                    ]
                )
                for n in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(server.bodies) == sorted(
                b"%d" % n for n in range(8) for _ in range(50)
            )
            assert len(server.connections) <= 8
