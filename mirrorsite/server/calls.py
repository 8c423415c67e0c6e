"""One request through Django, in a thread; long responses are streamed from it."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.core.signals import request_started
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from mirrorsite.server.request import Request
from mirrorsite.server.responses import Response, header_fields
from mirrorsite.server.threads import BusyError

GetResponse = Callable[[Request], HttpResponseBase]

#: A streaming response of less than this is sent whole, a longer one in pieces of at
#: least this size.
STREAM_BYTES = 64 * 1024


class ClientDisconnectedError(Exception):
    """The client closed the connection, or was disconnected because it did not read."""


@dataclass(eq=False, slots=True)
class Call:
    """One request to Django; `stream_permits` limits how many stream at once."""

    request: Request
    get_response: GetResponse
    send: Callable[[Any], Any]
    stream_permits: threading.Semaphore
    loop: asyncio.AbstractEventLoop
    #: What was streamed so far: the status, 0 before the response has started, and how
    #: many bytes of its body.
    status: int = 0
    sent_bytes: int = 0

    def run(self) -> Response:
        """Return the response, to be sent unless it was streamed already."""
        self._check_client()
        request_started.send(sender=None, scope=self.request.scope)
        response = self.get_response(self.request)
        try:
            if isinstance(response, HttpResponse):
                return Response(
                    response.status_code, header_fields(response), response.content
                )
            return self._stream(response)
        finally:
            response.close()

    def _check_client(self) -> None:
        if self.request.scope["state"]["is_closed"]():
            raise ClientDisconnectedError

    def _stream(self, response: HttpResponseBase) -> Response:
        pieces = _pieces_of(response)
        first = next(pieces)
        needs_length = (
            self.request.scope["http_version"] == "1.0"
            and self.request.method != "HEAD"
            and response.status_code not in {204, 304}
            and not response.has_header("Content-Length")
        )
        if len(first) < STREAM_BYTES:
            if needs_length:
                response.headers["Content-Length"] = str(len(first))
            return Response(response.status_code, header_fields(response), first)
        if not self.stream_permits.acquire(blocking=False):
            raise BusyError
        try:
            if not needs_length:
                return self._send_stream(response, chain([first], pieces))
            # A client of HTTP/1.0 cannot read chunks: it needs the length first.
            with tempfile.TemporaryFile() as file:
                file.writelines(chain([first], pieces))
                response.headers["Content-Length"] = str(file.tell())
                file.seek(0)
                return self._send_stream(response, _pieces_of(file))
        finally:
            self.stream_permits.release()

    def _send_stream(
        self, response: HttpResponseBase, pieces: Iterable[bytes]
    ) -> Response:
        self.status, fields = response.status_code, header_fields(response)
        self._send("start", status=self.status, headers=fields)
        for piece in pieces:
            self._send("body", body=piece, more_body=True)
            self._check_client()
            self.sent_bytes += len(piece)
        self._send("body", body=b"", more_body=False)
        return Response(self.status, fields, sent_bytes=self.sent_bytes)

    def _send(self, part: str, **content: Any) -> None:
        """Send a message; wait while the write buffer is full."""
        message = {"type": f"http.response.{part}", **content}
        # In a new context: sending the last message begins the next pipelined request,
        # whose log lines must not have the request id of this thread.
        sent = Context().run(
            asyncio.run_coroutine_threadsafe, self.send(message), self.loop
        )
        sent.result()


def _pieces_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces of `STREAM_BYTES` or more, and then a shorter one, which may be empty."""
    piece = bytearray()
    for part in parts:
        piece += part
        if len(piece) >= STREAM_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
