from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirrorsite import request_socket
from mirrorsite.request_socket import HELD_BYTES, HeadTimeoutError, RequestSocket

Pair = tuple[RequestSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    mine = RequestSocket.taking_over(ours)
    with mine, theirs:
        yield mine, theirs


class TestSending:
    def test_held__leaves_in_one_piece(self, pair: Pair) -> None:
        mine, theirs = pair
        mine.hold()
        mine.sendall(b"head")
        mine.sendall(b"body")
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        mine.release()
        assert theirs.recv(100) == b"headbody"
        mine.sendall(b"next")  # no longer held
        assert theirs.recv(100) == b"next"

    def test_more_than_is_held__leaves_at_once(self, pair: Pair) -> None:
        mine, theirs = pair
        mine.hold()
        mine.sendall(b"a" * HELD_BYTES)
        mine.sendall(b"b")
        received = bytearray()
        while len(received) <= HELD_BYTES:
            received += theirs.recv(HELD_BYTES)
        assert received == b"a" * HELD_BYTES + b"b"

    def test_sendfile__after_what_is_held(self, pair: Pair, tmp_path: Path) -> None:
        mine, theirs = pair
        (tmp_path / "file").write_bytes(b"file")
        mine.hold()
        mine.sendall(b"head ")
        with (tmp_path / "file").open("rb") as file:
            mine.sendfile(file)
        received = b""
        while len(received) < 9:
            received += theirs.recv(100)
        assert received == b"head file"

    def test_released_without_a_word(self, pair: Pair) -> None:
        mine, _ = pair
        mine.release()
        mine.hold()
        mine.release()


class TestReceiving:
    def test_deadline__head_and_body(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_socket, "READ_SECONDS", 0.05)
        mine, theirs = pair
        mine.expect_request()
        with pytest.raises(HeadTimeoutError):
            mine.recv(100)
        mine.expect_request()
        mine.expect_body()
        with pytest.raises(TimeoutError):
            mine.recv(100)
        theirs.sendall(b"late")
        with pytest.raises(TimeoutError):  # the time is over, whatever comes now
            mine.recv(100)
        mine.expect_request()
        assert mine.recv(100) == b"late"
        assert mine.gettimeout() is None

    def test_is_readable(self, pair: Pair) -> None:
        mine, theirs = pair
        assert mine.is_readable(0.01) is False
        theirs.sendall(b"x")
        assert mine.is_readable(10) is True
        mine.recv(1)
        theirs.shutdown(socket.SHUT_WR)
        assert mine.is_readable(10) is True
