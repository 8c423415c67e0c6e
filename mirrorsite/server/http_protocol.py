"""uvicorn's HTTP/1.1 protocol with limits on the size and duration of requests.

uvicorn's own protocol waits indefinitely for the rest of a request, and limits neither
the request line nor the header fields. This one answers a request beyond a limit with a
problem. It also answers plain GETs of health and mirror (`mirrorsite.server.fast_path`).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import resource
from collections import deque
from enum import Enum, auto
from functools import lru_cache
from time import perf_counter
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from mirrorsite.logs import log_access, quoted_path
from mirrorsite.metrics import request_observer
from mirrorsite.server.fast_path import field_lines, request_id_of
from mirrorsite.server.heads import (
    MAX_BODY_BYTES,
    MAX_FIELDS,
    MAX_TARGET_BYTES,
    RefusedError,
    check_head,
    slug_of,
    to_origin_form,
)
from mirrorsite.server.responses import server_problem

logger = logging.getLogger("gunicorn.error")

#: From a request's first byte to its last, in seconds.
REQUEST_SECONDS = 10.0
#: How long a client may stall while it reads an answer, in seconds in total. Reading
#: `MIN_BYTES_PER_SECOND` bytes restores one second.
STALL_SECONDS = 10.0
MIN_BYTES_PER_SECOND = 32 * 1024
#: How long input is still read and discarded after a refusal, in seconds, so that the
#: client sees the answer instead of a reset (RFC 9112, section 9.6).
LINGER_SECONDS = 1.0
#: How long an idle connection stays open when the server shuts down, in seconds, so that
#: a request already sent is answered.
DRAIN_SECONDS = 1.0

#: Limit for the bytes of an incomplete request: its head, its body and the sizes of its
#: chunks. The read in which the request begins is counted whole.
MAX_INCOMPLETE_BYTES = 128 * 1024
#: Requests in one read, or behind one that is being answered.
MAX_PIPELINED = 64
#: Connections of this process; the other file descriptors are left for database and
#: bucket.
MAX_CONNECTIONS = min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
#: Connections closed at once when there are too many.
CONNECTIONS_TO_CLOSE = 32

_ALLOW = b"GET, HEAD, POST, OPTIONS"


class Phase(Enum):
    """How much of a request has been read."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()
    ALL = auto()
    #: Its head, and the fast path has answered it: it has no body.
    ANSWERED = auto()


_INCOMPLETE = (Phase.HEAD, Phase.BODY)


class HTTPProtocol(HttpToolsProtocol):
    """A client's connection; limits the size and duration of its requests."""

    connections: set[HTTPProtocol]  # type: ignore[assignment]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        #: Unanswered requests, oldest first.
        self._unanswered: deque[RequestResponseCycle] = deque()
        self._phase = Phase.NOTHING
        self._deadline = math.inf
        self._requests_in_read = 0
        self._read_bytes = 0
        self._incomplete_bytes = 0
        self._body_bytes = 0
        self._is_shutting_down = False
        self._ignores_input = False
        # How long the client may still stall while it reads; see STALL_SECONDS.
        self._stall_seconds = STALL_SECONDS
        # When a stall was last looked for, and the bytes of the answer not sent by then.
        self._checked_at = 0.0
        self._unsent_bytes = 0

    # --- The connection ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        if self.client is None:
            # The client reset the connection before it was accepted. Its requests
            # are ignored: they have no address to record or to rate-limit.
            self._ignores_input = True
            transport.abort()  # type: ignore[attr-defined]
            return
        self._wait_for_request()
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def _make_room(self) -> None:
        """Close the connections that wait for their client and have the nearest deadline.

        If none waits, refuse this one.
        """
        others = self.connections - {self}
        idle = [other for other in others if other._waits_for_client()]
        for other in heapq.nsmallest(
            CONNECTIONS_TO_CLOSE, idle, key=lambda connection: connection._deadline
        ):
            other.transport.abort()
        if not idle:
            self.refuse("server-busy")

    def _waits_for_client(self) -> bool:
        """Return True if the connection is idle, or has only an incomplete request."""
        half_sent = 1 if self._phase is Phase.BODY else 0
        return self._deadline < math.inf and len(self._unanswered) <= half_sent

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn's method notifies only the last pipelined request's application.
        self._signal_disconnect()
        super().connection_lost(exc)

    def _wait_for_request(self) -> None:
        self._phase = Phase.NOTHING
        self._deadline = self.loop.time() + self.timeout_keep_alive

    def check_deadlines(self, now: float) -> None:
        """Disconnect a client that is too slow to send or to read; called once a second."""
        if self.flow.write_paused:
            self._check_stall(now)
        # While this side has paused reading, the client is not late.
        elif now > self._deadline and not self.flow.read_paused:
            if self.transport.is_closing():
                # Closed earlier, but the client has not read the rest of the answer.
                self.transport.abort()
            elif self._phase is Phase.NOTHING or self._ignores_input:
                # Idle, or refused: give the client time to read what is still buffered.
                self._deadline = now + LINGER_SECONDS
                self.transport.close()
            else:
                self.refuse("request-timeout")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._checked_at = self.loop.time()
        self._unsent_bytes = self.transport.get_write_buffer_size()

    def _check_stall(self, now: float) -> None:
        buffered = self.transport.get_write_buffer_size()
        taken = max(0, self._unsent_bytes - buffered)
        self._stall_seconds += taken / MIN_BYTES_PER_SECOND - (now - self._checked_at)
        self._stall_seconds = min(self._stall_seconds, STALL_SECONDS)
        self._checked_at, self._unsent_bytes = now, buffered
        if self._stall_seconds <= 0:
            logger.info("a client does not read its answer: the connection is closed")
            self.transport.abort()

    def resume_writing(self) -> None:
        if self.flow.write_paused:
            self._check_stall(self.loop.time())
        super().resume_writing()

    def shutdown(self) -> None:
        """Answer all requests; close an idle connection after DRAIN_SECONDS."""
        self._is_shutting_down = True
        if self._unanswered:
            self._unanswered[-1].keep_alive = False
        else:
            self._deadline = self.loop.time() + DRAIN_SECONDS

    # --- Reading ---------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            return
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        self._requests_in_read = 1 if self._phase in _INCOMPLETE else 0
        self._read_bytes = len(data)
        self._incomplete_bytes += self._read_bytes
        while data and not self._ignores_input:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # No other protocol is supported: the request is answered in HTTP/1.1
                # (RFC 9110, section 7.8). The parser has skipped its body.
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self._requests_in_read -= 1  # it is counted again
            except httptools.HttpParserError as error:
                # Behind other requests it is not known where this one starts in `data`.
                is_first = self._requests_in_read == 1
                self.refuse(slug_of(error, data if is_first else b""))
        if self._phase in _INCOMPLETE and not self._ignores_input:
            if len(self.url) > MAX_TARGET_BYTES:
                self.refuse("request-line-too-long")
            elif (
                self._incomplete_bytes > MAX_INCOMPLETE_BYTES
                or len(self.headers) > MAX_FIELDS
            ):
                is_head = self._phase is Phase.HEAD
                self.refuse("headers-too-large" if is_head else "body-too-large")

    def _head_without_upgrade(self) -> bytes:
        """Return the head without `Upgrade`; after it the parser also reads the body."""
        fields = [field for field in self.headers if field[0] != b"upgrade"]
        version = self.parser.get_http_version().encode()
        return b"%b %b HTTP/%b\r\n%b\r\n" % (
            self.parser.get_method(), self.url, version, field_lines(fields)
        )  # fmt: skip

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._requests_in_read += 1
        if max(self._requests_in_read, len(self.pipeline)) > MAX_PIPELINED:
            logger.info("too many pipelined requests: the connection is closed")
            self._ignores_input = True
            self.transport.abort()
        # The application calls `is_closed` to see whether the client has disconnected.
        self.scope["state"]["is_closed"] = self.transport.is_closing
        self._phase = Phase.HEAD
        self._deadline = self.loop.time() + REQUEST_SECONDS
        self._incomplete_bytes = self._read_bytes
        self._body_bytes = 0
        self._stall_seconds = STALL_SECONDS

    def on_headers_complete(self) -> None:
        if self._ignores_input:
            return
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise RefusedError("method-not-allowed")
            return  # `data_received` parses the head again, without the upgrade
        started = perf_counter()
        if not self.url.startswith(b"/"):
            # In place: this list is the scope's, too.
            self.url, self.headers[:] = to_origin_form(self.url, self.headers)
        version = self.parser.get_http_version()
        fields = check_head(version, self.url, self.headers)
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110, section 10.1.1
        path, _, query = self.url.partition(b"?")
        if path in self.app.fast_path.answers and self._answer_now(
            path, query, fields, started
        ):
            self._phase = Phase.ANSWERED
            return
        super().on_headers_complete()
        self.headers = []  # for trailer fields, which are ignored; the scope keeps its list
        self._unanswered.append(self.cycle)
        if self._is_shutting_down:
            self.cycle.keep_alive = False
        self._phase = Phase.BODY

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            raise RefusedError("body-too-large")
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._ignores_input or self.parser.should_upgrade():
            return
        if self._phase is Phase.ANSWERED:
            self._wait_for_request()
            return
        self._phase = Phase.ALL
        self._deadline = math.inf
        super().on_message_complete()

    # --- Answering ---------------------------------------------------------------------

    def on_response_complete(self) -> None:
        self._unanswered.popleft()
        super().on_response_complete()
        if self._phase is Phase.ALL and not self._unanswered:
            self._wait_for_request()

    def _answer_now(
        self, path: bytes, query: bytes, fields: dict[bytes, bytes], started: float
    ) -> bool:
        """Answer a plain GET of health or mirror; return False for any other request."""
        if (
            self.parser.get_method() != b"GET"
            or len(fields) != len(self.headers)
            or b"#" in query
            or self.flow.write_paused
            or self._unanswered
        ):
            return False
        answer = self.app.fast_path.answer(path, query, fields, self.scope["scheme"])
        if answer is None:
            return False
        keep_alive = (
            self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"
            and not self._is_shutting_down
        )
        server_fields = _server_fields(tuple(self.server_state.default_headers))
        close = b"" if keep_alive else b"connection: close\r\n"
        self.transport.write(
            b"HTTP/1.1 200 OK\r\n%b%b%b\r\n%b"
            % (server_fields, answer.head, close, answer.body)
        )
        if not keep_alive:
            self._ignores_input = True
            self.transport.close()
        seconds = perf_counter() - started
        route = path[1:].decode()
        request_observer(route, "GET", 200)(seconds)
        log_access(
            method="GET",
            raw_path=path,
            route=route,
            status=200,
            seconds=seconds,
            size=len(answer.body),
            request_id=answer.request_id,
            peer=self.client,
            forwarded_for=fields.get(b"x-forwarded-for", b"").decode("latin-1"),
        )
        return True

    def refuse(self, slug: str) -> None:
        """Answer with a problem and close the connection.

        If earlier requests are unanswered, no problem is sent: the refusal is only logged,
        and the connection is closed after their answers.
        """
        self._ignores_input = True
        is_body = self._phase is Phase.BODY
        # In that phase the refused request is itself the last of the unanswered ones.
        earlier = len(self._unanswered) - (1 if is_body else 0)
        if earlier:
            self._unanswered[earlier - 1].keep_alive = False
            self._deadline = math.inf  # the rest of this request is not awaited
            self._log_unread(slug)
        elif is_body and self.cycle.response_started:
            # The client would take a problem for a part of the answer.
            self.transport.abort()
        else:
            self._signal_disconnect()  # the application stops reading
            # For `body-too-large` the head is valid: `check_head` checks Content-Length last.
            self._answer_refusal(
                slug, has_valid_head=is_body or slug == "body-too-large"
            )

    def _signal_disconnect(self) -> None:
        """Report to the application that the client has disconnected."""
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()

    def _answer_refusal(self, slug: str, has_valid_head: bool) -> None:
        """Send a problem, log it, and close."""
        headers = self.scope["headers"] if has_valid_head else []
        fields = dict(headers)
        # Some proxies add another X-Forwarded-For field instead of extending the first.
        hops = [value for name, value in headers if name == b"x-forwarded-for"]
        raw_path = self.url.partition(b"?")[0] if has_valid_head else b"/"
        request_id = request_id_of(fields)
        answer = server_problem(slug, request_id, quoted_path(raw_path))
        head = [
            STATUS_LINE[answer.status],
            _server_fields(tuple(self.server_state.default_headers)),
            field_lines(answer.fields),
            b"allow: %b\r\n" % _ALLOW if answer.status == 405 else b"",
            b"connection: close\r\n\r\n",
        ]
        self.transport.write(b"".join([*head, answer.body]))
        # Closed for writing now, and for reading a moment later.
        self.transport.write_eof()
        self._deadline = self.loop.time() + LINGER_SECONDS
        method = self.parser.get_method().decode() if has_valid_head else None
        request_observer("unmatched", method, answer.status)(0.0)
        if method is None:
            self._log_unread(slug, status=answer.status, request_id=request_id)
            return
        log_access(
            method=method,
            raw_path=raw_path,
            route="",
            status=answer.status,
            seconds=0.0,
            size=len(answer.body),
            request_id=request_id,
            peer=self.client,
            forwarded_for=b",".join(hops).decode("latin-1"),
        )

    def _log_unread(self, slug: str, **more: Any) -> None:
        fields = {**more, "client": self.client[0] if self.client else ""}
        logger.info("request not read: %s", slug, extra={"fields": fields})


@lru_cache(maxsize=2)
def _server_fields(fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Return the server's own header fields, which change once a second."""
    return field_lines(fields)
