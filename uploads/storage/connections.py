"""Connections to the object store that bound the time a whole request takes.

A socket's timeout is for each read, so that an answer of one byte a second would hold a
thread indefinitely; and it is for the whole of a body that is sent, however long it is.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from urllib3 import (
    HTTPConnectionPool,
    HTTPResponse,
    HTTPSConnectionPool,
    PoolManager,
)
from urllib3.connection import HTTPConnection, HTTPSConnection

#: Slower than this, content runs into the timeout.
_MIN_BYTES_PER_SECOND = 32 * 1024
_BLOCK_BYTES = 64 * 1024
#: More than a page of a listing has, with the longest keys.
MAX_ANSWER_BYTES = 16 * 1024 * 1024


class _TimeLeft:
    """How long a transfer may still wait: the socket's timeout, used up by waiting."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout = self._seconds = sock.gettimeout() or 0.0

    @contextmanager
    def used(self) -> Iterator[None]:
        """Limit a read or a write to the time that is left, and take its own off."""
        if self._seconds <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(self._seconds)
        started = monotonic()
        yield
        self._seconds -= monotonic() - started

    def extend(self, count: int) -> None:
        """Give back the time that so many bytes of content may take."""
        left = self._seconds + count / _MIN_BYTES_PER_SECOND
        self._seconds = min(left, self._timeout)


class _Reader(io.RawIOBase):
    """Reads an answer from a socket within its timeout."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw = raw
        self._time_left = _TimeLeft(sock)
        self.is_content = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._time_left.used():
            count = self._raw.readinto(buffer) or 0
        if self.is_content:
            self._time_left.extend(count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """Has to send its head within the timeout, and its content at a minimum rate."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._reader = _Reader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        self._reader.is_content = True


class _BoundedConnection(http.client.HTTPConnection):
    response_class = _Answer

    def send(self, data: Any) -> None:
        if self.sock is None or len(data) <= _BLOCK_BYTES:
            super().send(data)
            return
        body, time_left = memoryview(data), _TimeLeft(self.sock)
        for start in range(0, len(body), _BLOCK_BYTES):
            block = body[start : start + _BLOCK_BYTES]
            with time_left.used():
                super().send(block)
            time_left.extend(len(block))


class _BoundedHTTPConnection(_BoundedConnection, HTTPConnection):
    pass


class _BoundedHTTPSConnection(_BoundedConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _BoundedHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedHTTPSConnection


#: For `PoolManager.pool_classes_by_scheme`.
POOL_CLASSES = {"http": _HTTPPool, "https": _HTTPSPool}


def send(http: PoolManager, request: Any, **_: Any) -> Any:
    """Send a prepared request of botocore, whose own connections are not bounded."""
    parts = urlsplit(request.url)
    # A proxy for plain HTTP wants the whole address.
    is_forwarded = http.proxy is not None and parts.scheme == "http"
    target = parts if is_forwarded else parts._replace(scheme="", netloc="")
    response = http.connection_from_url(request.url).urlopen(
        request.method,
        target.geturl() or "/",
        body=request.body,
        headers=request.headers,
        redirect=False,
        retries=False,
        assert_same_host=False,
        preload_content=False,
        decode_content=False,
    )
    headers: Any = response.headers
    raw: Any = response
    if not request.stream_output:
        content = response.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            response.close()
            raise ValueError("too long for an answer of S3")
        raw = HTTPResponse(io.BytesIO(content), preload_content=False)
    return AWSResponse(request.url, response.status, headers, raw)
