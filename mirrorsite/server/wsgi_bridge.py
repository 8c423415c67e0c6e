"""Runs ASGI requests through a WSGI application (PEP 3333) in a bounded pool of threads."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from queue import SimpleQueue
from typing import Any
from urllib.parse import unquote_to_bytes

from mirrorsite.logs import quoted_path
from mirrorsite.server.responses import Fields, Response

logger = logging.getLogger(__name__)

WSGIApplication = Callable[..., Iterable[bytes]]
Send = Callable[[Any], Any]

#: A response without a known end is sent in one piece up to this size, and in pieces of
#: this size beyond it.
STREAM_BYTES = 64 * 1024
#: Jobs that may wait for each thread: about a second of uploads.
QUEUE_PER_THREAD = 32


class ClientGoneError(Exception):
    """The client closed the connection, or was disconnected because it did not read."""


class QueueFullError(RuntimeError):
    """The queue is full."""


class TooManyStreamsError(Exception):
    """Too many threads stream to clients already."""


class ThreadPool:
    """Runs jobs first in, first out; a job reports its own outcome."""

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._max_waiting = threads * QUEUE_PER_THREAD
        for number in range(threads):
            # Daemons: a request that never ends does not keep the process from ending.
            threading.Thread(
                target=self._work, name=f"{name}-{number}", daemon=True
            ).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job; raises `QueueFullError`."""
        if self._jobs.qsize() >= self._max_waiting:
            raise QueueFullError
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:
                # For example, its event loop is closed: the thread goes on.
                logger.exception("a job failed")


@lru_cache(maxsize=512)
def _environ_name(name: bytes) -> str:
    """Return the environ key of a header field; empty for one that is dropped.

    `X_Forwarded_For` and `X-Forwarded-For` would get the same key.
    """
    if b"_" in name:
        return ""
    text = name.decode("latin-1").upper().replace("-", "_")
    return text if text in {"CONTENT_TYPE", "CONTENT_LENGTH"} else "HTTP_" + text


def build_environ(scope: Any) -> dict[str, Any]:
    """Return the WSGI environ of an ASGI request, without its body."""
    client, server = scope["client"], scope["server"]
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "REMOTE_ADDR": client[0] if client else "",
        "SERVER_NAME": server[0] if server else "",
        "SERVER_PORT": str(server[1]) if server else "",
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
        # Percent-encoded: `instance` of problems.
        "mirrorsite.path": quoted_path(scope["raw_path"]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name = _environ_name(raw_name)
        if not name:
            continue
        value = raw_value.decode("latin-1")
        if name in environ:
            separator = "; " if name == "HTTP_COOKIE" else ","
            value = f"{environ[name]}{separator}{value}"
        environ[name] = value
    return environ


class Call:
    """One request to the WSGI application; `response` is an asyncio future of its outcome.

    `is_closed` returns True once the client has disconnected; `stream_permits` limits
    the responses that are streamed at once.
    """

    def __init__(
        self,
        application: WSGIApplication,
        environ: dict[str, Any],
        send: Send,
        is_closed: Callable[[], bool],
        stream_permits: threading.Semaphore,
    ) -> None:
        self._application = application
        self._environ = environ
        self._send_message = send
        self._is_closed = is_closed
        self._stream_permits = stream_permits
        # Acquired once, by the thread that runs the call or by the timeout.
        self._claimed = threading.Lock()
        self.response_started = False
        self._status = 500
        self._fields: Fields = []
        self._loop = asyncio.get_running_loop()
        self.response: asyncio.Future[Response] = self._loop.create_future()

    def claim(self) -> bool:
        """Return True once: to the thread that runs the call, or to the timeout."""
        return self._claimed.acquire(blocking=False)

    def run(self) -> None:
        """Run the application, in a thread of the pool."""
        if not self.claim():
            return
        try:
            if self._is_closed():
                raise ClientGoneError
            parts = self._application(self._environ, self._start_response)
            try:
                if getattr(parts, "streaming", True):
                    response = self._stream(iter(parts))
                else:
                    response = Response(self._status, self._fields, b"".join(parts))
                self._loop.call_soon_threadsafe(self._succeed, response)
            finally:
                close = getattr(parts, "close", None)
                if close is not None:
                    close()
        except BaseException as error:  # noqa: BLE001 it is raised in the loop
            self._loop.call_soon_threadsafe(self._fail, error)

    def _start_response(self, status: str, headers: Any, *_: Any) -> None:
        self._status = int(status[:3])
        self._fields = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers
        ]

    def _stream(self, parts: Iterator[bytes]) -> Response:
        """Send the parts if they are more than one piece; return the response."""
        first = _next_piece(parts)
        if len(first) < STREAM_BYTES:
            return Response(self._status, self._fields, first)
        if not self._stream_permits.acquire(blocking=False):
            raise TooManyStreamsError
        try:
            with tempfile.TemporaryFile() as file:
                if self._needs_length():
                    length = file.write(first) + sum(map(file.write, parts))
                    self._fields.append((b"content-length", b"%d" % length))
                    file.seek(0)
                    parts = iter(lambda: file.read(STREAM_BYTES), b"")
                    first = next(parts)
                return self._send_pieces(first, parts)
        finally:
            self._stream_permits.release()

    def _needs_length(self) -> bool:
        """Return True if the client cannot read chunks and there is no length yet."""
        return self._environ["SERVER_PROTOCOL"] == "HTTP/1.0" and not any(
            name == b"content-length" for name, _ in self._fields
        )

    def _send_pieces(self, piece: bytes, parts: Iterator[bytes]) -> Response:
        size = 0
        self.response_started = True
        self._send(
            {
                "type": "http.response.start",
                "status": self._status,
                "headers": self._fields,
            }
        )
        while piece:
            size += len(piece)
            self._send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = _next_piece(parts)
        self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return Response(self._status, self._fields, sent_bytes=size)

    def _send(self, message: dict[str, Any]) -> None:
        """Send, and wait until the client has taken enough of what was sent before."""
        asyncio.run_coroutine_threadsafe(
            self._send_message(message), self._loop
        ).result()
        if message.get("more_body", True) and self._is_closed():
            raise ClientGoneError

    def _succeed(self, response: Response) -> None:
        if not self.response.done():
            self.response.set_result(response)

    def _fail(self, error: BaseException) -> None:
        if self.response.done():  # the answer was sent; closing the response failed
            logger.error("error after the answer", exc_info=error)
        else:
            self.response.set_exception(error)


def _next_piece(parts: Iterator[bytes]) -> bytes:
    """Return the next `STREAM_BYTES` or more; less at the end only."""
    piece = bytearray()
    for part in parts:
        piece += part
        if len(piece) >= STREAM_BYTES:
            break
    return bytes(piece)
