"""A connection whose client has a set time for a request, and gets its answer at once.

No Django here.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any

from gunicorn.http import errors

#: How long the client may take for a request from its first byte to its last, in
#: seconds. Each half-sent request holds a thread; bodies here are 16 KiB at most.
READ_SECONDS = 10.0
#: An answer below this size is sent in one piece, head and body together.
HELD_BYTES = 16 * 1024


class HeadTimeoutError(errors.ParseException):
    """The request's head did not come in time."""

    def __str__(self) -> str:
        return "the request's head did not come in time"


class RequestSocket(socket.socket):
    """A client's socket on which `recv` keeps the deadline of the request at hand.

    A timeout of the socket alone would start anew with each byte.

    Between `hold` and `release` small pieces are kept and sent together: each `send`
    is a system call and wakes the client, and gunicorn writes head and body apart.
    """

    _deadline: float | None = None
    _has_head = False
    _held: bytearray | None = None

    @classmethod
    def taking_over(cls, client: socket.socket) -> RequestSocket:
        """Return one for the same connection; `client` is detached."""
        return cls(client.family, client.type, client.proto, fileno=client.detach())

    def expect_request(self) -> None:
        """Begin to count for the next request."""
        self._deadline = time.monotonic() + READ_SECONDS
        self._has_head = False

    def expect_body(self) -> None:
        """Go on counting: the head is there, what follows is the body."""
        self._has_head = True

    def expect_nothing(self) -> None:
        """The request is over: no deadline holds any more."""
        self._deadline = None

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read as `socket.recv`; wait no longer than what is left of the request's time.

        Raises `HeadTimeoutError`, or `TimeoutError` within the body.
        """
        if self._deadline is None:
            return super().recv(bufsize, flags)
        try:
            return self._recv_in_time(bufsize, flags, self._deadline - time.monotonic())
        except TimeoutError as error:
            if self._has_head:
                raise
            raise HeadTimeoutError from error

    def _recv_in_time(self, bufsize: int, flags: int, left: float) -> bytes:
        if left <= 0:
            raise TimeoutError("the request's body did not come in time")
        try:
            # Nearly always it is there already, and no timeout has to be set.
            return super().recv(bufsize, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        before = self.gettimeout()
        self.settimeout(left)
        try:
            return super().recv(bufsize, flags)
        finally:
            self.settimeout(before)

    def hold(self) -> None:
        """Keep what is sent from now on, up to `HELD_BYTES`."""
        self._held = bytearray()

    def release(self) -> None:
        """Send what is kept, and keep no more."""
        held, self._held = self._held, None
        if held:
            super().sendall(held)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send as `socket.sendall`, or keep it."""
        if self._held is None:
            super().sendall(data, flags)
            return
        self._held += data
        if len(self._held) > HELD_BYTES:
            held, self._held = self._held, bytearray()
            super().sendall(held, flags)

    def sendfile(self, *arguments: Any, **options: Any) -> int:
        """Send as `socket.sendfile`, after what is kept."""
        self.release()
        return super().sendfile(*arguments, **options)

    def is_readable(self, seconds: float) -> bool:
        """Tell whether more comes, or the end, within so long."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
