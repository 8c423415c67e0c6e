"""gunicorn's threaded worker with a few manners more."""

from __future__ import annotations

import json
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

from mirrorsite.connection_counts import ConnectionCounts
from mirrorsite.problem_types import PROBLEM_TYPES
from mirrorsite.request_ids import request_id_from
from mirrorsite.request_socket import (
    HeadTimeoutError,
    RequestSocket,
    is_readable_now,
)
from mirrorsite.short_answers import Answer, Sent, environ_of, message
from mirrorsite.short_requests import MOST_SHORT_BYTES, PATHS, is_short

_SLUGS: dict[type[Exception], str] = {
    HeadTimeoutError: "request-timeout",
    errors.LimitRequestLine: "request-line-too-long",
    errors.LimitRequestHeaders: "headers-too-large",
    errors.ExpectationFailed: "expectation-failed",
    errors.UnsupportedTransferCoding: "transfer-coding-not-implemented",
}
#: The application's own fault, although gunicorn counts them as parse errors.
_OURS = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)


#: How long a thread waits for a connection's next request before it hands it back.
LINGER_SECONDS = 0.001
#: Which share of a worker's threads may do so. They take turns at Python's lock: were all
#: of them busy all the time, some requests would wait tens of milliseconds for it.
LINGERING_SHARE = 0.5
#: How long a worker leaves a new connection to another one that holds fewer.
YIELD_SECONDS = 0.001
#: A kept connection's place in the order in which they time out may be so old.
KEEP_ALIVE_GRAIN_SECONDS = 1.0
#: How long other threads leave Python's lock with the one that closes the listening
#: socket, if that waits for nothing.
CLOSING_SWITCH_SECONDS = 1.0
#: How long a worker that ends waits for the first request of a connection it has taken.
FIRST_REQUEST_SECONDS = 2.0
#: How many requests the main thread answers before it looks who else waits for it.
MOST_ANSWERS_A_TURN = 16
#: Made in gunicorn's master, which loads this module before it forks.
COUNTS = ConnectionCounts()


class HostError(errors.ParseException):
    """A request of HTTP/1.1 without a Host header, or with two."""


def _count(headers: list[tuple[str, str]], name: str) -> int:
    return sum(header == name for header, _ in headers)


class Worker(ThreadWorker):
    """The `gthread` worker; it answers everyone it was handed, and in problems.

    Before it ends it takes the connections that wait in the listening socket's queue.
    The kernel completes connections on the server's behalf, and gunicorn's own worker
    stops accepting when it is told to end, so those would be reset although their
    requests were sent already.

    A request that is no HTTP gets a problem, not a page. gunicorn's own message
    quotes the offending line or header, which may hold a token; neither the answer
    nor the log line does here.

    A client has a set time for its request. gunicorn's own worker waits for ever for
    the rest of a half-sent one, so a few such clients would hold every thread. A
    connection on which nothing was sent yet holds none.

    An answer is sent in one piece, and the thread that gave it waits a moment for the
    connection's next request.

    A kept connection's requests that ask for nothing but a little work are answered
    where they are noticed, in the main thread: to hand one to another thread, and both
    to take turns at Python's lock, costs as much again.

    Connections are spread over the workers. They all watch one listening socket, and
    gunicorn's own takes what it can get: the one that wakes first may hold all of a
    proxy's kept connections, and the others' processors idle.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        places = max(1, int(self.cfg.threads * LINGERING_SHARE))
        self._linger_places = threading.Semaphore(places)
        self._answers_left = MOST_ANSWERS_A_TURN
        self._short_answer: Callable[[dict[str, Any]], Answer | None] | None = None

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self._short_answer = getattr(self.wsgi, "answer", None)

    def notify(self) -> None:
        super().notify()
        if self._accepting:
            COUNTS.hold(self.age, max(0, self.nr_conns))
        else:
            COUNTS.free(self.age)

    def accept(self, listener: Any) -> None:
        if not self.alive:
            super().accept(listener)
            return
        least = COUNTS.least(beside=self.age)
        if least is not None and self.nr_conns > least + 1:
            time.sleep(YIELD_SECONDS)  # and take it only if it is still there
        super().accept(listener)
        COUNTS.hold(self.age, max(0, self.nr_conns))

    def enqueue_req(self, conn: TConn) -> None:
        if not isinstance(conn.sock, RequestSocket):
            conn.sock = RequestSocket.taking_over(conn.sock)
        super().enqueue_req(conn)

    def on_client_socket_readable(self, conn: TConn, client: Any) -> None:
        if self.alive and is_short(client.peek(MOST_SHORT_BYTES)):
            if self._answers_left > 0:  # else in the next turn: it stays readable
                self._answers_left -= 1
                self._answer_here(conn)
        else:
            super().on_client_socket_readable(conn, client)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        self._answers_left = MOST_ANSWERS_A_TURN
        super().wait_for_and_dispatch_events(timeout)

    def _answer_here(self, conn: TConn) -> None:
        """Answer a request that is all there; the connection stays with the poller."""
        conn.sock.expect_request(waits=False)
        if super().handle(conn):
            if conn.parser.unreader.buf.getvalue():
                # More came between the look and the read; the poller cannot see it.
                self.poller.unregister(conn.sock)
                self.keepalived_conns.remove(conn)
                self.enqueue_req(conn)
                return
            now = time.monotonic()
            if conn.timeout - now < self.cfg.keepalive - KEEP_ALIVE_GRAIN_SECONDS:
                # The order is by timeout.
                self.keepalived_conns.remove(conn)
                conn.set_timeout()
                self.keepalived_conns.append(conn)
            return
        self.poller.unregister(conn.sock)
        self.keepalived_conns.remove(conn)
        # Not here: it may wait for the client.
        last = self.tpool.submit(conn.sock.let_go)
        last.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def finish_request(self, conn: TConn, fs: Any) -> None:
        if not self.alive and not fs.exception() and fs.result() is _DEFER:
            # Its request is on its way, and gunicorn's own worker would close it.
            conn.sock.setblocking(False)
            conn.timeout = time.monotonic() + FIRST_REQUEST_SECONDS
            self.pending_conns.appendleft(conn)  # those of before have more time
            self.poller.register(
                conn.sock,
                selectors.EVENT_READ,
                partial(self.on_pending_socket_readable, conn),
            )
        else:
            super().finish_request(conn, fs)

    def handle(self, conn: TConn) -> Any:
        if not conn.initialized and not conn.wait_for_data(0):
            return _DEFER
        is_kept = self._handle_one(conn)
        if is_kept is _DEFER:
            return _DEFER
        if is_kept and self._linger_places.acquire(blocking=False):
            try:
                while is_kept and self._lingers(conn):
                    is_kept = self._handle_one(conn)
            finally:
                self._linger_places.release()
        if not is_kept:
            # Here, in a thread of the pool: gunicorn waits for the client's own end in
            # its main thread, where each client that keeps it waiting stops them all.
            conn.sock.let_go()
        return is_kept

    def _handle_one(self, conn: TConn) -> Any:
        conn.sock.expect_request()
        return super().handle(conn)

    def _lingers(self, conn: TConn) -> bool:
        """Tell whether this thread goes on with the connection's next request.

        A busy client sends it at once. To wait for it in the worker's main thread,
        and to be woken by that, costs more than the request. Not while anybody else
        waits for a thread, nor with requests that the main thread answers itself.
        """
        return (
            self.alive
            and conn.parser.mesg.path not in PATHS
            and self.tpool._work_queue.empty()
            and not conn.parser.unreader.buf.tell()
            and conn.sock.is_readable(LINGER_SECONDS)
            and self.tpool._work_queue.empty()
        )

    def _keepalive_after(self, conn: TConn, keepalive: Any) -> bool:
        if not conn.sock.waits:
            return bool(keepalive)  # it has no body to be read to its end
        kept: bool = super()._keepalive_after(conn, keepalive)
        return kept

    def handle_request(self, req: Any, conn: TConn) -> Any:
        if req.version >= (1, 1) and _count(req.headers, "HOST") != 1:
            raise HostError  # RFC 9112, section 3.2
        if not conn.sock.waits and self._answer_shortly(req, conn):
            return True
        conn.sock.expect_body()
        conn.sock.hold()
        try:
            return super().handle_request(req, conn)
        finally:
            conn.sock.release()

    def _answer_shortly(self, req: Any, conn: TConn) -> bool:
        """Answer a short request, and say so, unless something about it is not plain.

        gunicorn's hooks around a request are not called; none is set.
        """
        if (
            self._short_answer is None
            or not self.alive
            or not self.cfg.keepalive
            or self.nr + 1 >= self.max_requests
            or len(self.keepalived_conns) >= self.max_keepalived
            or req.should_close()
        ):
            return False
        begun = time.perf_counter()
        environ = environ_of(req, conn.client)
        answer = None if environ is None else self._short_answer(environ)
        if environ is None or answer is None:
            return False
        self.nr += 1
        conn.sock.hold()
        try:
            conn.sock.sendall(message(answer))
            sent = Sent(conn.sock, len(answer.body))
            took = timedelta(seconds=time.perf_counter() - begun)
            self.log.access(sent, req, environ, took)
        except OSError:
            raise
        except Exception:
            # As gunicorn does: the answer has left, and another one behind it would be
            # taken for the one to the next request.
            self.log.exception("Error handling request")
            raise StopIteration from None
        finally:
            conn.sock.release()
        return True

    def handle_error(
        self, req: Any, client: socket.socket, addr: Any, exc: Exception
    ) -> None:
        # Here, because gunicorn's master loads this module too, and neither Django nor
        # prometheus_client may be imported before the configuration's hooks have run.
        from mirrorsite.metrics import observe_request
        from mirrorsite.problems import CONTENT_TYPE, problem_body

        request_id = request_id_from(None)
        if isinstance(exc, errors.ParseException) and not isinstance(exc, _OURS):
            slug = _SLUGS.get(type(exc), "malformed-http")
        else:
            slug = "internal-error"
        kind = PROBLEM_TYPES[slug]
        fields = {
            "status": kind.status,
            "request_id": request_id,
            "client": addr[0] if addr else "",
            "error": type(exc).__name__,
        }
        log = self.log.error_log
        if slug == "internal-error":
            log.error("request not handled", exc_info=exc, extra={"fields": fields})
        else:
            log.info("request not read: %s", slug, extra={"fields": fields})
        observe_request("unmatched", None, kind.status, 0.0)
        body = json.dumps(
            problem_body("/", request_id, kind.status, slug, kind.meaning)
        ).encode()
        head = (
            f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\n"
            "Connection: close\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\n"
            f"X-Request-ID: {request_id}\r\n"
            "X-Content-Type-Options: nosniff\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode("ascii") + body)
        except OSError:
            self.log.debug("the client is gone")

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            interval = sys.getswitchinterval()
            sys.setswitchinterval(CLOSING_SWITCH_SECONDS)
            try:
                for listener in self.sockets:
                    self._take_waiting(listener)
                    # What comes between the last look and the close is reset; so no
                    # other thread gets its turn in between.
                    while is_readable_now(listener.fileno()):
                        self._take_waiting(listener)
                    # From here on a client is refused and can turn to another server.
                    listener.close()
            finally:
                sys.setswitchinterval(interval)

    def _take_waiting(self, listener: object) -> None:
        taken = -1
        while taken != self.nr_conns:
            taken = self.nr_conns
            self.accept(listener)  # takes one, or leaves the count as it is
