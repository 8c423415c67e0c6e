"""The HTTP client for every request to the object store.

urllib3 connects, through proxies and with TLS; httptools parses the answers. urllib3 could
also send the requests and read the answers, but takes six times the processor time for
that, and does not limit the time that a whole answer takes: see
docs/decisions/0004-upload-speed.md.
"""

from __future__ import annotations

import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic, perf_counter
from typing import Any, Final, cast
from urllib.parse import SplitResult, urlsplit

import httptools
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from urllib3 import ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from mirrorsite.metrics import STORE_SECONDS
from uploads.exceptions import StoreUnavailableError
from uploads.payloads import Chunks

#: A page of a listing has up to 1,000 keys of up to 1,024 bytes, percent-encoded.
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
#: Content that arrives more slowly than this times out.
_MIN_BYTES_PER_SECOND = 32 * 1024
_BLOCK_BYTES = 64 * 1024
#: As botocore sets them; without TCP_NODELAY each body waits 40 ms.
_SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]
#: An answer with neither of these ends when the connection is closed.
_LENGTH_FIELDS = frozenset({"content-length", "transfer-encoding"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Answer:
    """Sends one request, and receives its answer; the content is read on demand.

    httptools' parser calls the methods that begin with `on_`.
    """

    def __init__(
        self,
        method: str,
        connection: HTTPConnection,
        timeout: float,
        idle: deque[HTTPConnection],
    ) -> None:
        """`idle` receives the connection when it can be reused."""
        self.status = 0
        #: Names are in lower case.
        self.fields: dict[str, str] = {}
        self._is_head = method == "HEAD"
        self._connection = connection
        self._idle = idle
        self._timeout = self._seconds_left = timeout
        self._parser: Any = httptools.HttpResponseParser(self)
        self._content = bytearray()
        #: Bytes received since the last `read`.
        self._received = 0
        self._has_head = self._is_complete = self._is_reusable = False

    def send_request(self, head: bytes, body: Chunks) -> None:
        """Send the request, and receive the head of the answer."""
        sock = cast(socket.socket, self._connection.sock)
        try:
            sock.settimeout(self._timeout)  # for each chunk
            chunks = iter(body)
            # A store that refuses may answer, and close, before it has read the body.
            with suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(head + next(chunks, b""))  # one packet, if it is small
                for chunk in chunks:
                    sock.sendall(chunk)
        except BaseException:
            self.close()
            raise
        self._receive(0)

    def read(self, size: int | None = None) -> bytes:
        """Return up to `size` bytes of the content, or all the rest."""
        self._receive(size)
        data = bytes(self._content[:size])
        del self._content[:size]
        self._received = 0
        return data

    def stream(self) -> Iterator[bytes]:
        """Yield the content; botocore reads it this way."""
        yield self.read()

    def _receive(self, size: int | None) -> None:
        """Receive the head and `size` bytes of the content, or all of it.

        Raises `TimeoutError` when no time is left.
        """
        try:
            sock = cast(socket.socket, self._connection.sock)
            while not self._is_complete and (
                not self._has_head or size is None or len(self._content) < size
            ):
                sock.settimeout(self._seconds_left)
                started = monotonic()
                data = sock.recv(_BLOCK_BYTES)
                if data:
                    self._parser.feed_data(data)
                elif self._has_head and not _LENGTH_FIELDS & self.fields.keys():
                    self._is_complete, self._is_reusable = True, False
                else:
                    raise ConnectionResetError("closed within the answer")
                # Waiting uses up the time that is left; received bytes extend it again.
                self._seconds_left += len(data) / _MIN_BYTES_PER_SECOND
                self._seconds_left -= monotonic() - started
                self._seconds_left = min(self._seconds_left, self._timeout)
                self._received += len(data)
                if self._received > MAX_ANSWER_BYTES:
                    raise ValueError("too long for an answer of S3")
                if self._seconds_left <= 0 and not self._is_complete:
                    raise TimeoutError("timed out")
        except BaseException:
            self._is_reusable = False
            self.close()
            raise
        if self._is_complete:
            self.close()  # closes the answer; the connection is kept if it can be reused

    def close(self) -> None:
        """Release the connection: keep it open only if the whole answer has been read.

        botocore calls it too.
        """
        if self._parser is None:
            return
        self._parser = None  # breaks the reference cycle
        if self._is_complete and self._is_reusable:
            self._idle.append(self._connection)
        else:
            self._connection.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # otherwise a trailer
            self.fields[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._has_head:
            raise ValueError("more than one answer to one request")
        self.status = self._parser.get_status_code()
        if self.status < 200:  # an interim answer
            self.fields = {}
            return
        self._is_reusable = self._parser.should_keep_alive()
        self._has_head = True
        self._is_complete = self._is_head

    def on_body(self, part: bytes) -> None:
        if self._is_head:
            # Not allowed in an answer to HEAD. More of it may follow, which would be taken
            # for the next answer on this connection.
            self._is_reusable = False
        else:
            self._content += part

    def on_message_complete(self) -> None:
        self._is_complete = self._has_head


@dataclass(kw_only=True, eq=False)
class HTTPClient:
    """Sends requests to any host; all threads use one. Timeouts are in seconds."""

    #: A file of CA certificates.
    certificates: str
    #: Only its settings are used.
    proxy: ProxyManager | None
    connect_timeout: float
    read_timeout: float
    _idle: dict[str, deque[HTTPConnection]] = field(
        init=False, default_factory=lambda: defaultdict(deque)
    )

    def send(
        self,
        operation: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Chunks = (),
    ) -> Answer:
        """Send a request once, read the head of its answer, and measure the time.

        `operation` is its name in the metrics. Raises `StoreUnavailableError` if it
        cannot connect (nothing was sent); once connected, `OSError`, `ValueError` or an
        error of httptools, as `Answer.read` does.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        target = url.removeprefix(origin)
        fields = {name.lower(): value for name, value in headers.items()}
        fields["host"] = host_of(parts)
        if body or method in {"POST", "PUT"}:
            fields["content-length"] = str(sum(map(len, body)))
        if self.proxy is not None and origin.startswith("http:"):
            target = url
            fields |= self.proxy.proxy_headers
        head = f"{method} {target} HTTP/1.1\r\n"
        for name, value in fields.items():
            head += f"{name}: {value}\r\n"
        started, outcome = perf_counter(), "no answer"
        try:
            connection = self._idle_connection(origin) or self._connect(origin)
            answer = Answer(method, connection, self.read_timeout, self._idle[origin])
            answer.send_request(f"{head}\r\n".encode("latin-1"), body)
            outcome = f"{answer.status // 100}xx"
            return answer
        finally:
            seconds = perf_counter() - started
            STORE_SECONDS.labels(operation, outcome).observe(seconds)

    def send_prepared(
        self, request: AWSPreparedRequest, event_name: str, **kwargs: Any
    ) -> AWSResponse:
        """Send a request of botocore; handles its event `before-send.s3.<operation>`."""
        headers = {
            name: str(value, "latin-1") if isinstance(value, bytes) else value
            for name, value in cast(Any, request.headers).items()
        }
        body = cast(Any, request.body or b"")
        content = body.read() if hasattr(body, "read") else body
        answer = self.send(
            event_name.rpartition(".")[2],
            request.method,
            request.url,
            headers,
            [content] if content else (),
        )
        return AWSResponse(request.url, answer.status, cast(Any, answer.fields), answer)

    def close(self) -> None:
        """Close the idle connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def __del__(self) -> None:
        self.close()

    def _idle_connection(self, origin: str) -> HTTPConnection | None:
        idle = self._idle[origin]
        # Not `while idle`: another thread may take the last one in between.
        with suppress(IndexError):
            while True:
                connection = idle.pop()
                if connection.is_connected:
                    return connection
                connection.close()
        return None

    def _connect(self, origin: str) -> HTTPConnection:
        connection = None
        try:
            connection = self._new_connection(origin)
            connection.connect()
        except Exception as error:
            if connection is not None:
                connection.close()
            raise StoreUnavailableError(
                f"the object store is unreachable ({type(error).__name__})",
                outcome_unknown=False,
            ) from error
        return connection

    def _new_connection(self, origin: str) -> HTTPConnection:
        parts = urlsplit(origin)
        scheme, host = parts.scheme, cast(str, parts.hostname)
        # Without a port, http.client would look for one within an IPv6 address.
        port = parts.port or _DEFAULT_PORTS[scheme]
        options: dict[str, Any] = {
            "timeout": self.connect_timeout,
            "socket_options": _SOCKET_OPTIONS,
        }
        tunnel = None
        if self.proxy is not None:
            # Connects to the proxy; for https a tunnel through it is then opened.
            proxy = cast(Any, self.proxy.proxy)
            if scheme == "https":
                # The target's address, but the proxy's scheme, as `set_tunnel` wants it.
                tunnel = (host, port, self.proxy.proxy_headers, proxy.scheme)
            else:
                scheme = proxy.scheme
            host, port = proxy.host, proxy.port
            config = cast(Any, self.proxy.proxy_config)
            options["proxy"] = proxy
            options["proxy_config"] = config._replace(ssl_context=self._tls)
        kind = HTTPConnection
        if scheme == "https":
            kind = HTTPSConnection
            options |= {"ssl_context": self._tls, "cert_reqs": "CERT_REQUIRED"}
        connection = kind(host, port, **options)
        if tunnel is not None:
            connection.set_tunnel(*tunnel)
        return connection

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Shared by all connections: loading the CA certificates takes 30 ms and 0.6 MiB."""
        context = create_urllib3_context()
        context.load_verify_locations(self.certificates)
        return context


def host_of(parts: SplitResult) -> str:
    """Return the value of the field Host as botocore signs it.

    It is in lower case and without a default port.
    """
    return parts.netloc.lower().removesuffix(f":{_DEFAULT_PORTS[parts.scheme]}")
