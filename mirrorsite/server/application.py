"""A WSGI application (PEP 3333) as an ASGI application: a bounded queue and a pool of threads.

`mirrorsite.server.http_protocol` answers plain GETs of health and mirror before this is
called, and limits the size of heads and bodies.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from queue import SimpleQueue
from time import perf_counter
from typing import Any
from urllib.parse import unquote_to_bytes

from django.core.exceptions import ImproperlyConfigured

from mirrorsite.logs import log_access, quoted_path, request_id_from
from mirrorsite.metrics import request_observer
from mirrorsite.server.fast_path import FastAnswer, FastPath, cache_key_of
from mirrorsite.server.responses import Fields, Response, server_problem

logger = logging.getLogger(__name__)

WSGIApplication = Callable[..., Iterable[bytes]]
Send = Callable[[Any], Any]

#: How long a request waits for a thread, in seconds.
QUEUE_SECONDS = 10.0
#: How long a worker waits for its warm-up before it serves, in seconds.
WARM_UP_SECONDS = 5.0
#: Streamed responses leave this many threads free: slow clients must not hold them all.
THREADS_WITHOUT_STREAMS = 2
#: nginx's status, in the log only, for a request whose client has disconnected.
CLIENT_CLOSED_REQUEST = 499
#: A streaming response of less than this is sent whole, a longer one in pieces of at
#: least this size.
STREAM_BYTES = 64 * 1024
#: Jobs that may wait for each thread: about a second of uploads.
QUEUE_PER_THREAD = 32


class ClientDisconnectedError(Exception):
    """The client closed the connection, or was disconnected because it did not read."""


class BusyError(RuntimeError):
    """The queue is full, no thread took the request in time, or too many stream."""


class Application:
    """Runs a WSGI application in a pool of threads behind a bounded queue.

    Requests to the paths of `answers` that are not plain GETs run in a separate
    thread: they need neither database nor bucket, and never wait for requests that do.
    """

    def __init__(
        self,
        application: WSGIApplication,
        answers: Mapping[bytes, FastAnswer],
        *,
        threads: int,
        warm_up: Callable[[], object] = lambda: None,
    ) -> None:
        self.fast_path = FastPath(answers)
        self._application = application
        self._threads = ThreadPool(threads, "request")
        self._fast_answer_pool = ThreadPool(1, "fast-path")
        self._stream_permits = threading.Semaphore(
            max(1, threads - THREADS_WITHOUT_STREAMS)
        )
        self._warm_up = warm_up

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        started = perf_counter()
        environ = build_environ(scope)
        try:
            if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
                body = await _read_body(receive)
                environ["wsgi.input"] = io.BytesIO(body)
                # A chunked body has been read whole, so its length is known.
                environ.pop("HTTP_TRANSFER_ENCODING", None)
                environ["CONTENT_LENGTH"] = str(len(body))
            response = await self._respond(scope, environ, send)
        except ClientDisconnectedError:
            if not scope["state"]["is_closed"]():
                # The protocol has refused the request, and has answered and logged it.
                return
            response = Response(CLIENT_CLOSED_REQUEST, [], sent_bytes=0)
        if response.sent_bytes is None:
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status,
                    "headers": response.fields,
                }
            )
            await send({"type": "http.response.body", "body": response.body})
        log_access(
            method=scope["method"],
            raw_path=scope["raw_path"],
            route=environ.get("mirrorsite.route", ""),
            status=response.status,
            seconds=perf_counter() - started,
            size=len(response.body)
            if response.sent_bytes is None
            else response.sent_bytes,
            request_id=environ.get("mirrorsite.request_id", ""),
            peer=scope["client"],
            forwarded_for=environ.get("HTTP_X_FORWARDED_FOR", ""),
        )

    async def _respond(
        self, scope: Any, environ: dict[str, Any], send: Any
    ) -> Response:
        path = scope["raw_path"]
        has_fast_answer = path in self.fast_path.answers
        pool = self._fast_answer_pool if has_fast_answer else self._threads
        loop = asyncio.get_running_loop()
        call = Call(
            self._application,
            environ,
            send,
            scope["state"]["is_closed"],
            self._stream_permits,
            loop,
            loop.create_future(),
        )
        timer = loop.call_later(QUEUE_SECONDS, call.give_up)
        try:
            pool.submit(call.run)
            response = await call.response
        except BusyError:
            return _refusal(environ, "server-busy")
        except ClientDisconnectedError:
            raise
        except Exception:
            if call.response_started:
                raise  # the server logs it and closes the connection
            logger.exception("the request failed")
            return _refusal(environ, "internal-error")
        finally:
            timer.cancel()
        if has_fast_answer and response.status == 200 and scope["method"] == "GET":
            cache_key = cache_key_of(path, dict(scope["headers"]), scope["scheme"])
            if cache_key is not None:
                self.fast_path.remember(
                    cache_key, scope["query_string"], response.fields
                )
        return response

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        try:
            await self._warm_up_in_time()
        except ImproperlyConfigured as error:
            message = f"mirrorsite cannot start: {error}"
            await send({"type": "lifespan.startup.failed", "message": message})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _warm_up_in_time(self) -> None:
        """Warm up in a thread; raises `ImproperlyConfigured`, logs any other failure."""
        done: Future[BaseException | None] = Future()
        done.set_running_or_notify_cancel()  # so the timeout cannot cancel it

        def run() -> None:
            try:
                self._warm_up()
                done.set_result(None)
            except BaseException as error:  # noqa: BLE001 it is handled in the loop
                done.set_result(error)

        self._threads.submit(run)
        try:
            error = await asyncio.wait_for(asyncio.wrap_future(done), WARM_UP_SECONDS)
        except TimeoutError:
            logger.warning("the warm-up is slow; it continues in the background")
            return
        if isinstance(error, ImproperlyConfigured):
            raise error
        if error is not None:
            logger.warning("the warm-up failed", exc_info=error)


async def _read_body(receive: Any) -> bytes:
    """Return the body, which the protocol limits; raises `ClientDisconnectedError`."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


def _refusal(environ: dict[str, Any], slug: str) -> Response:
    request_id = environ.setdefault(
        "mirrorsite.request_id",
        request_id_from(
            environ.get("HTTP_X_REQUEST_ID"), environ.get("HTTP_TRACEPARENT")
        ),
    )
    response = server_problem(slug, request_id, environ["mirrorsite.path"])
    request_observer("unmatched", environ["REQUEST_METHOD"], response.status)(0.0)
    return response


# --- In a thread -----------------------------------------------------------------


class ThreadPool:
    """Runs jobs first in, first out; a job reports its own outcome."""

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._max_waiting = threads * QUEUE_PER_THREAD
        for number in range(threads):
            # Daemons: a request that hangs must not keep the process alive.
            threading.Thread(
                target=self._work, name=f"{name}-{number}", daemon=True
            ).start()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job; raises `BusyError`."""
        if self._jobs.qsize() >= self._max_waiting:
            raise BusyError
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:
                # Such as a closed event loop. The thread takes the next job.
                logger.exception("a job failed")


@dataclass(eq=False)
class Call:
    """One request to the WSGI application; `response` is the future of its outcome.

    `is_closed` returns True once the client has disconnected; `stream_permits` limits
    the responses that are streamed at once.
    """

    application: WSGIApplication
    environ: dict[str, Any]
    send_message: Send
    is_closed: Callable[[], bool]
    stream_permits: threading.Semaphore
    loop: asyncio.AbstractEventLoop
    response: asyncio.Future[Response]
    response_started: bool = False
    status: int = 500
    fields: Fields = field(default_factory=list)
    #: Acquired once, by the thread that runs the call or by the timeout.
    claimed: threading.Lock = field(default_factory=threading.Lock)

    def give_up(self) -> None:
        """Refuse the call if no thread has started it."""
        if self.claimed.acquire(blocking=False) and not self.response.done():
            self.response.set_exception(BusyError())

    def run(self) -> None:
        """Run the application, in a thread of the pool."""
        if not self.claimed.acquire(blocking=False):
            return
        try:
            if self.is_closed():
                raise ClientDisconnectedError
            parts = self.application(self.environ, self._start_response)
            try:
                if getattr(parts, "streaming", True):
                    response = self._stream(iter(parts))
                else:
                    response = Response(self.status, self.fields, b"".join(parts))
                self.loop.call_soon_threadsafe(self.response.set_result, response)
            finally:
                close = getattr(parts, "close", None)
                if close is not None:
                    close()
        except BaseException as error:  # noqa: BLE001 it is raised in the loop
            self.loop.call_soon_threadsafe(self._fail, error)

    def _start_response(self, status: str, headers: Any, *_: Any) -> None:
        self.status = int(status[:3])
        self.fields = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers
        ]

    def _stream(self, parts: Iterator[bytes]) -> Response:
        """Return the response; send it if it is longer than one piece."""
        first = _next_piece(parts)
        if len(first) < STREAM_BYTES:
            if self._needs_length():
                self.fields.append((b"content-length", b"%d" % len(first)))
            return Response(self.status, self.fields, first)
        if not self.stream_permits.acquire(blocking=False):
            raise BusyError
        try:
            with tempfile.TemporaryFile() as file:
                if self._needs_length():
                    length = file.write(first) + sum(map(file.write, parts))
                    self.fields.append((b"content-length", b"%d" % length))
                    file.seek(0)
                    parts = iter(lambda: file.read(STREAM_BYTES), b"")
                    first = next(parts)
                return self._send_pieces(first, parts)
        finally:
            self.stream_permits.release()

    def _needs_length(self) -> bool:
        """Return True if the client cannot read chunks and there is no length yet."""
        return (
            self.environ["SERVER_PROTOCOL"] == "HTTP/1.0"
            and self.environ["REQUEST_METHOD"] != "HEAD"
            and self.status not in {204, 304}
            and not any(name == b"content-length" for name, _ in self.fields)
        )

    def _send_pieces(self, piece: bytes, parts: Iterator[bytes]) -> Response:
        size = 0
        self.response_started = True
        self._send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": self.fields,
            }
        )
        while piece:
            size += len(piece)
            self._send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = _next_piece(parts)
        self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return Response(self.status, self.fields, sent_bytes=size)

    def _send(self, message: dict[str, Any]) -> None:
        """Send a message; wait while the write buffer is full."""
        asyncio.run_coroutine_threadsafe(self.send_message(message), self.loop).result()
        if message.get("more_body", True) and self.is_closed():
            raise ClientDisconnectedError

    def _fail(self, error: BaseException) -> None:
        if self.response.done():  # the answer was sent; closing the response failed
            logger.error("closing the response failed", exc_info=error)
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


# --- The environ -----------------------------------------------------------------


@lru_cache(maxsize=512)
def _environ_name(name: bytes) -> str:
    """Return the environ key of a header field; empty for one that is dropped.

    Names with an underscore are dropped, since `X_Forwarded_For` would get the key of
    `X-Forwarded-For`.
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
