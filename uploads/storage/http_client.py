"""PUT requests over keep-alive connections.

urllib3 connects, through proxies and with TLS; httptools parses the answers. Sending a
request and reading its answer with urllib3 too takes six times the processor time: see
docs/decisions/0004-upload-speed.md.
"""

from __future__ import annotations

import socket
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httptools
from urllib3 import ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from uploads.exceptions import StoreUnavailableError

#: The answer to a PUT is an error in some hundred bytes, or has no body.
MAX_ANSWER_BYTES: Final = 64 * 1024
#: A body up to this size is sent in one packet with its head.
_SMALL_BODY_BYTES = 64 * 1024
#: As botocore sets them; without TCP_NODELAY each body waits 40 ms.
_SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]


@dataclass(slots=True)
class Answer:
    """An answer, which httptools' parser fills in; names of `fields` are in lower case."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    has_head: bool = False
    is_complete: bool = False

    @property
    def ends_with_connection(self) -> bool:
        """True if only the end of the connection shows where the body ends."""
        is_framed = {"content-length", "transfer-encoding"} & self.fields.keys()
        return self.has_head and not self.is_complete and not is_framed

    @property
    def keeps_connection(self) -> bool:
        """True unless the server closes the connection after this answer."""
        return "close" not in self.fields.get("connection", "").lower()

    def on_message_begin(self) -> None:
        # What came before was an interim answer, such as 100.
        self.fields, self.body = {}, b""
        self.has_head = self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.is_complete = True


class HTTPClient:
    """Sends requests to any host; all threads use one. Timeouts are in seconds."""

    def __init__(
        self,
        *,
        certificates: str | None,
        proxy: ProxyManager | None,
        connect_timeout: float,
        read_timeout: float,
    ) -> None:
        """`certificates` is a file; of `proxy` only the settings are used."""
        self._certificates = certificates
        self._proxy = proxy
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._idle: dict[str, deque[HTTPConnection]] = defaultdict(deque)

    def put(
        self,
        origin: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | memoryview,
    ) -> Answer:
        """Send a request once; `origin` is scheme, host and port, `headers` have a host.

        Raises `StoreUnavailableError` if there is no connection, so that nothing was
        sent, and `OSError`, `ValueError` or an error of httptools after that.
        """
        fields = {**headers, "content-length": str(len(body))}
        if self._proxy is not None and origin.startswith("http:"):
            target = origin + target
            fields |= self._proxy.proxy_headers
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        head = f"PUT {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        connection = self._idle_connection(origin) or self._connect(origin)
        try:
            answer, is_reusable = self._exchange(connection.sock, head, body)
        except BaseException:
            connection.close()
            raise
        if is_reusable:
            self._idle[origin].append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _idle_connection(self, origin: str) -> HTTPConnection | None:
        idle = self._idle[origin]
        with suppress(IndexError):
            while True:
                connection = idle.pop()
                if connection.is_connected:
                    return connection
                connection.close()
        return None

    def _connect(self, origin: str) -> HTTPConnection:
        parts = urlsplit(origin)
        scheme, host, port = parts.scheme, cast(str, parts.hostname), parts.port
        options: dict[str, Any] = {
            "timeout": self._connect_timeout,
            "socket_options": _SOCKET_OPTIONS,
        }
        tunnel = None
        if self._proxy is not None:
            proxy = cast(Any, self._proxy.proxy)
            if scheme == "https":
                tunnel = (host, port, self._proxy.proxy_headers, proxy.scheme)
            else:
                scheme = proxy.scheme
            host, port = proxy.host, proxy.port
            options |= {"proxy": proxy, "proxy_config": self._proxy.proxy_config}
        if scheme == "https":
            options |= {"ca_certs": self._certificates, "cert_reqs": "CERT_REQUIRED"}
        kind = HTTPSConnection if scheme == "https" else HTTPConnection
        connection = kind(host, port, **options)
        try:
            if tunnel is not None:
                connection.set_tunnel(*tunnel)
            connection.connect()
        except Exception as error:
            connection.close()
            raise StoreUnavailableError(
                f"the object store is unreachable ({type(error).__name__})",
                outcome_unknown=False,
            ) from error
        return connection

    def _exchange(
        self, sock: socket.socket, head: bytes, body: bytes | memoryview
    ) -> tuple[Answer, bool]:
        """Send a request; return its answer, and whether the connection can be reused."""
        sock.settimeout(self._read_timeout)
        is_sent = False
        # A store that refuses may answer, and close, before it has read the body.
        with suppress(BrokenPipeError, ConnectionResetError):
            if len(body) <= _SMALL_BODY_BYTES:
                sock.sendall(head + body)
            else:
                sock.sendall(head)
                sock.sendall(body)
            is_sent = True
        answer = Answer()
        parser = httptools.HttpResponseParser(answer)
        deadline = monotonic() + self._read_timeout
        left = MAX_ANSWER_BYTES
        while True:
            data = sock.recv(MAX_ANSWER_BYTES)
            if not data and answer.ends_with_connection:
                return answer, False
            if not data:
                raise ConnectionResetError("closed within the answer")
            left -= len(data)
            if left < 0:
                raise ValueError("too long for an answer of S3")
            parser.feed_data(data)
            answer.status = parser.get_status_code()
            if answer.is_complete and answer.status >= 200:
                is_new = parser.get_http_version() == "1.1"
                return answer, is_sent and is_new and answer.keeps_connection
            sock.settimeout(max(0.001, deadline - monotonic()))
