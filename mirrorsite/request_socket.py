"""A connection whose client has a set time for a request, and for taking its answer.

No Django here.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import select
import socket
import time
from typing import Any, BinaryIO

from gunicorn.http import errors

#: How long the client may take for a request from its first byte to its last, in
#: seconds. Each half-sent request holds a thread; bodies here are 16 KiB at most.
READ_SECONDS = 10.0
#: How long the client may leave its answer untaken, in seconds of waiting, all told.
#: Each answer that waits holds a thread.
SEND_SECONDS = 10.0
#: Those who take much have more time: a second for so many bytes taken.
LEAST_BYTES_A_SECOND = 32 * 1024
#: How long, and how much of, what nobody will read is waited for when the connection is
#: closed, so that the client sees its answer.
DRAIN_SECONDS = 1.0
DRAIN_BYTES = 1024 * 1024
#: An answer below this size is sent in one piece, head and body together.
HELD_BYTES = 16 * 1024


logger = logging.getLogger(__name__)


class HeadTimeoutError(errors.ParseException):
    """The request's head did not come in time."""

    def __str__(self) -> str:
        return "the request's head did not come in time"


class RequestSocket(socket.socket):
    """A client's socket on which `recv` keeps the deadline of the request at hand.

    A timeout of the socket alone would start anew with each byte.

    Between `hold` and `release` small pieces are kept and sent together: each `send`
    is a system call and wakes the client, and gunicorn writes head and body apart.

    Sending raises `BrokenPipeError` when the client does not take its answer in time.
    """

    #: Whether the request at hand may wait for its client.
    waits = True
    _deadline: float | None = None
    _has_head = False
    _is_over = False
    _held: bytearray | None = None
    _taken = 0
    _waited = 0.0

    @classmethod
    def taking_over(cls, client: socket.socket) -> RequestSocket:
        """Return one for the same connection; `client` is detached."""
        return cls(client.family, client.type, client.proto, fileno=client.detach())

    def expect_request(self, *, waits: bool = True) -> None:
        """Begin to count for the next request.

        With `waits` false the client has no time at all: whoever works on the request
        may not be kept, and knows that the whole of it is there.
        """
        self._deadline = time.monotonic() + READ_SECONDS
        self.waits = waits
        self._has_head = False
        self._is_over = False

    def expect_body(self) -> None:
        """Go on counting: the head is there, what follows is the body."""
        self._has_head = True

    def let_go(self) -> None:
        """Say that nothing more will be sent, and take what has come meanwhile.

        What is not read when a connection is closed makes the kernel reset it, and the
        client may lose its answer (RFC 9112, section 9.6). So whoever still sends is
        listened to for a moment; whoever does not is not waited for, neither here nor
        by `recv` from now on.
        """
        self._is_over = True
        try:
            self.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + DRAIN_SECONDS
            drained, wait = 0, 0.0
            while drained < DRAIN_BYTES and self.is_readable(wait):
                data = super().recv(64 * 1024)
                if not data:
                    return
                drained += len(data)
                wait = max(0.0, deadline - time.monotonic())
        except OSError:
            return

    def peek(self, bufsize: int) -> bytes:
        """Return what has come, and leave it there; empty when nothing has."""
        try:
            return super().recv(bufsize, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return b""

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read as `socket.recv`; wait no longer than what is left of the request's time.

        Raises `HeadTimeoutError`, or `TimeoutError` within the body.
        """
        if self._is_over and not self.is_readable(0):
            raise BlockingIOError(errno.EAGAIN, "nothing has come")
        if self._is_over or self._deadline is None:
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
            if not self.waits:
                raise TimeoutError("the request is not all there") from None
        before = self.gettimeout()
        self.settimeout(left)
        try:
            return super().recv(bufsize, flags)
        finally:
            self.settimeout(before)

    def hold(self) -> None:
        """Keep what is sent from now on, up to `HELD_BYTES`: a new answer begins."""
        self._held = bytearray()
        self._taken, self._waited = 0, 0.0

    def release(self) -> None:
        """Send what is kept, and keep no more."""
        held, self._held = self._held, None
        if held:
            self._send_in_time(held)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """Send as `socket.sendall`, or keep it."""
        if self._held is None:
            self._send_in_time(data)
            return
        self._held += data
        if len(self._held) > HELD_BYTES:
            held, self._held = self._held, bytearray()
            self._send_in_time(held)

    def sendfile(  # type: ignore[override]  # gunicorn's files are ordinary ones
        self, file: BinaryIO, offset: int = 0, count: int | None = None
    ) -> int:
        """Send as `socket.sendfile`, after what is kept; returns how many bytes."""
        self.release()
        if offset:
            file.seek(offset)
        sent = 0
        while count is None or sent < count:
            most = HELD_BYTES if count is None else min(HELD_BYTES, count - sent)
            block = file.read(most)
            if not block:
                break
            self._send_in_time(block)
            sent += len(block)
        return sent

    def _send_in_time(self, data: Any) -> None:
        rest = memoryview(data)
        while rest:
            try:
                # Nearly always the kernel takes all of it.
                sent = self.send(rest, socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._wait_until_taken()
            else:
                self._taken += sent
                rest = rest[sent:]

    def _wait_until_taken(self) -> None:
        if not self._waited:
            self._taken = 0  # what has gone until now the kernel took, not the client
        patience = SEND_SECONDS + self._taken / LEAST_BYTES_A_SECOND - self._waited
        if not self.waits:
            patience = 0.0
        begun = time.monotonic()
        poll = select.poll()
        poll.register(self, select.POLLOUT)
        if patience <= 0 or not poll.poll(patience * 1000):
            logger.info("a client does not take its answer: the connection is closed")
            raise BrokenPipeError(errno.EPIPE, "the answer was not taken in time")
        self._waited += time.monotonic() - begun

    def is_readable(self, seconds: float) -> bool:
        """Tell whether more comes, or the end, within so long."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


class _PollFd(ctypes.Structure):
    _fields_ = (
        ("fd", ctypes.c_int),
        ("events", ctypes.c_short),
        ("revents", ctypes.c_short),
    )


#: Called without giving Python's lock away, which every function of `socket` and
#: `select` does: another thread may then keep it for milliseconds.
_LIBC = ctypes.PyDLL(None)


def is_readable_now(descriptor: int) -> bool:
    """Tell whether a read, or an accept, would have something at once."""
    entry = _PollFd(descriptor, select.POLLIN, 0)
    _LIBC.poll(ctypes.byref(entry), ctypes.c_ulong(1), 0)
    return bool(entry.revents & select.POLLIN)
