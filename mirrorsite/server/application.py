"""A WSGI application as an ASGI application: a bounded queue and a pool of threads.

`mirrorsite.server.http_protocol` answers plain GETs of health and mirror before this is
called, and limits heads and bodies.
"""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from mirrorsite.logs import log_access, request_id_from
from mirrorsite.metrics import observe_request
from mirrorsite.server.fast_path import FastAnswer, FastPath, address_of
from mirrorsite.server.responses import Response, early_problem
from mirrorsite.server.wsgi_bridge import (
    Call,
    ClientGoneError,
    QueueFullError,
    ThreadPool,
    TooManyStreamsError,
    WSGIApplication,
    build_environ,
)

logger = logging.getLogger(__name__)

#: How long a request waits for a thread, in seconds.
QUEUE_SECONDS = 10.0
#: How long a worker waits for its warm-up before it serves, in seconds.
WARM_UP_SECONDS = 5.0
#: Threads that never stream, so that slow clients cannot hold them all.
THREADS_WITHOUT_STREAMS = 2
#: nginx's status in the log for a client that left before its request was begun.
CLIENT_CLOSED_REQUEST = 499


class Application:
    """Runs a WSGI application in a pool of threads behind a bounded queue.

    Requests to the paths of `answers` that are not plain GETs run in a thread of their
    own: they need neither database nor bucket, and never wait for requests that do.
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
        self._fast_path_thread = ThreadPool(1, "fast-path")
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
        except ClientGoneError:
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
            size=response.size,
            request_id=environ.get("mirrorsite.request_id", ""),
            peer=scope["client"],
            forwarded_for=environ.get("HTTP_X_FORWARDED_FOR", ""),
        )

    async def _respond(
        self, scope: Any, environ: dict[str, Any], send: Any
    ) -> Response:
        path = scope["raw_path"]
        pool = (
            self._fast_path_thread if path in self.fast_path.answers else self._threads
        )
        call = Call(
            self._application,
            environ,
            send,
            scope["state"]["is_closed"],
            self._stream_permits,
        )
        timer = asyncio.get_running_loop().call_later(QUEUE_SECONDS, _give_up, call)
        try:
            pool.submit(call.run)
            response = await call.response
        except (QueueFullError, TooManyStreamsError):
            return _refusal(environ, "server-busy")
        except ClientGoneError:
            raise
        except Exception:
            if call.response_started:
                raise  # the server logs it and cuts the connection
            logger.exception("the request failed")
            return _refusal(environ, "internal-error")
        finally:
            timer.cancel()
        if response.status == 200 and scope["method"] == "GET":
            self._remember(scope, response)
        return response

    def _remember(self, scope: Any, response: Response) -> None:
        path = scope["raw_path"]
        if path not in self.fast_path.answers:
            return
        address = address_of(path, dict(scope["headers"]), scope["scheme"])
        if address is not None:
            self.fast_path.remember(address, scope["query_string"], response.fields)

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
        loop = asyncio.get_running_loop()
        done: asyncio.Future[BaseException | None] = loop.create_future()

        def finish(error: BaseException | None) -> None:
            if not done.done():
                done.set_result(error)

        def run() -> None:
            outcome: BaseException | None = None
            try:
                self._warm_up()
            except BaseException as error:  # noqa: BLE001 it is handled in the loop
                outcome = error
            loop.call_soon_threadsafe(finish, outcome)

        self._threads.submit(run)
        try:
            error = await asyncio.wait_for(done, WARM_UP_SECONDS)
        except TimeoutError:
            logger.warning("the warm-up takes long; it goes on in the background")
            return
        if isinstance(error, ImproperlyConfigured):
            raise error
        if error is not None:
            logger.warning("the warm-up failed", exc_info=error)


async def _read_body(receive: Any) -> bytes:
    """Return the whole body; raises `ClientGoneError`. The protocol limits it."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


def _give_up(call: Call) -> None:
    """Refuse a call that no thread has begun."""
    if call.claim() and not call.response.done():
        call.response.set_exception(QueueFullError())


def _refusal(environ: dict[str, Any], slug: str) -> Response:
    request_id = environ.setdefault(
        "mirrorsite.request_id",
        request_id_from(
            environ.get("HTTP_X_REQUEST_ID"), environ.get("HTTP_TRACEPARENT")
        ),
    )
    response = early_problem(slug, request_id, environ["mirrorsite.path"])
    observe_request("unmatched", environ["REQUEST_METHOD"], response.status, 0.0)
    return response
