"""Django as an ASGI application: its views run in a bounded pool of threads.

`mirrorsite.server.http_protocol` answers plain GETs of health and mirror before this is
called, and limits the size of heads and bodies.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from time import perf_counter
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from mirrorsite.logs import current_request_id, log_access, request_id_from
from mirrorsite.metrics import request_observer
from mirrorsite.server.calls import Call, ClientDisconnectedError, GetResponse
from mirrorsite.server.fast_path import FastAnswer, FastPath
from mirrorsite.server.request import Request
from mirrorsite.server.responses import Response, server_problem
from mirrorsite.server.threads import BusyError, ThreadPool

logger = logging.getLogger(__name__)

#: How long a worker waits for its warm-up before it serves, in seconds.
WARM_UP_SECONDS = 5.0
#: Streamed responses leave this many threads free: slow clients must not hold them all.
THREADS_WITHOUT_STREAMS = 2
#: A request with one of these has a body (RFC 9112, section 6).
_BODY_FIELDS = ("CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING")
#: nginx's status, in the log only, for a request whose client has disconnected.
CLIENT_CLOSED_REQUEST = 499


class Application:
    """Answers requests with Django's `get_response`, in threads.

    Requests to the paths of `answers` that the fast path leaves to Django run in a separate
    thread: they need neither database nor bucket, and never wait for requests that do.
    """

    def __init__(
        self,
        get_response: GetResponse,
        answers: Mapping[bytes, FastAnswer],
        *,
        threads: int,
        warm_up: Callable[[], object] = lambda: None,
    ) -> None:
        self.fast_path = FastPath(answers)
        self._get_response = get_response
        self._threads = ThreadPool(threads, "request")
        self._fast_answer_thread = ThreadPool(1, "fast-path")
        self._stream_permits = threading.Semaphore(
            max(1, threads - THREADS_WITHOUT_STREAMS)
        )
        self._warm_up = warm_up

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        started = perf_counter()
        body = BytesIO()
        request = Request(scope, body)
        call = Call(
            request,
            self._get_response,
            send,
            self._stream_permits,
            asyncio.get_running_loop(),
        )
        try:
            await _read_body(request, body, receive)
            response = await self._respond(call)
        except ClientDisconnectedError:
            if not scope["state"]["is_closed"]():
                # The protocol has refused the request, and has answered and logged it.
                return
            response = Response(CLIENT_CLOSED_REQUEST, [], sent_bytes=call.sent_bytes)
        # uvicorn cancels what outlasts the time of a graceful shutdown.
        except (Exception, asyncio.CancelledError):
            # The thread has set the request id in its own context only, and the error's log
            # line needs it too. If the error is raised again, uvicorn logs it, with this id.
            token = current_request_id.set(_request_id(request.META))
            if call.status:
                # In the middle of a response: uvicorn closes the connection.
                _log(request, call.status, call.sent_bytes, started)
                raise
            logger.exception("the request failed")
            current_request_id.reset(token)
            response = _refusal(request, "internal-error")
            # At shutdown, a request pipelined behind this one would begin, and be cut off.
            response.fields.append((b"connection", b"close"))
        if response.sent_bytes is None:
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status,
                    "headers": response.fields,
                }
            )
            await send({"type": "http.response.body", "body": response.body})
            _log(request, response.status, len(response.body), started)
        else:
            _log(request, response.status, response.sent_bytes, started)

    async def _respond(self, call: Call) -> Response:
        """Run Django in a thread; raises `ClientDisconnectedError`, and Django's errors."""
        request = call.request
        has_fast_path = request.scope["raw_path"] in self.fast_path.answers
        pool = self._fast_answer_thread if has_fast_path else self._threads
        try:
            response = await pool.run(call.run)
        except BusyError:
            return _refusal(request, "server-busy")
        if has_fast_path:
            # If this was a plain GET, the fast path answers further ones like it.
            self.fast_path.remember(request.scope, response)
        return response

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        try:
            async with asyncio.timeout(WARM_UP_SECONDS) as timeout:
                await self._threads.run(self._warm_up)
        except ImproperlyConfigured as error:
            message = f"mirrorsite cannot start: {error}"
            await send({"type": "lifespan.startup.failed", "message": message})
            return
        except Exception:
            if timeout.expired():
                logger.warning("the warm-up is slow; it continues in the background")
            else:
                logger.warning("the warm-up failed", exc_info=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _read_body(request: Request, body: BytesIO, receive: Any) -> None:
    """Read the whole body into `body`, from which the request reads."""
    # Without a body `receive` is not called: it would make uvicorn read further requests.
    more_body = not request.META.keys().isdisjoint(_BODY_FIELDS)
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        body.write(message["body"])
        more_body = message["more_body"]
    # The length of a chunked body is known by now.
    request.META["CONTENT_LENGTH"] = str(body.tell())
    body.seek(0)


def _log(request: Request, status: int, size: int, started: float) -> None:
    """Log a request, and count it in the metrics."""
    scope, meta = request.scope, request.META
    route = meta.get("mirrorsite.route", "")
    # Without a route no view has run.
    observe = request_observer(route or "unmatched", scope["method"], status)
    observe(meta.get("mirrorsite.seconds", 0.0))
    log_access(
        method=scope["method"],
        raw_path=scope["raw_path"],
        route=route,
        status=status,
        seconds=perf_counter() - started,
        size=size,
        request_id=_request_id(meta),
        peer=scope["client"],
        forwarded_for=meta.get("HTTP_X_FORWARDED_FOR", ""),
    )


def _refusal(request: Request, slug: str) -> Response:
    """Return a problem of the server's own."""
    meta = request.META
    return server_problem(slug, _request_id(meta), meta["mirrorsite.path"])


def _request_id(meta: dict[str, Any]) -> str:
    """Return the request's id; the middleware has set it, if Django saw the request."""
    if "mirrorsite.request_id" not in meta:
        meta["mirrorsite.request_id"] = request_id_from(
            meta.get("HTTP_X_REQUEST_ID", ""), meta.get("HTTP_TRACEPARENT", "")
        )
    return str(meta["mirrorsite.request_id"])
