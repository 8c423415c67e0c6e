from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirrorsite import request_socket
from mirrorsite.request_socket import (
    HELD_BYTES,
    HeadTimeoutError,
    RequestSocket,
    is_readable_now,
)
from sre.lib.processes import wait_until

#: The kernel keeps a few hundred KiB for a pair of sockets.
MORE_THAN_FITS = 4 * 1024 * 1024

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

    def test_answer_that_nobody_takes__given_up(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_socket, "SEND_SECONDS", 0.2)
        mine, _ = pair
        mine.hold()
        begun = time.monotonic()
        with pytest.raises(BrokenPipeError):
            mine.sendall(b"a" * MORE_THAN_FITS)
        assert 0.2 <= time.monotonic() - begun < 5

    def test_answer_that_trickles_away__given_up_all_the_same(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To take a little now and then does not begin the time anew."""
        monkeypatch.setattr(request_socket, "SEND_SECONDS", 0.5)
        monkeypatch.setattr(request_socket, "LEAST_BYTES_A_SECOND", 10**9)
        mine, theirs = pair
        gave_up = threading.Event()

        def dawdle() -> None:
            while not gave_up.wait(0.05):
                theirs.recv(64 * 1024)

        thread = threading.Thread(target=dawdle)
        thread.start()
        mine.hold()
        try:
            with pytest.raises(BrokenPipeError):
                mine.sendall(b"a" * 100 * MORE_THAN_FITS)
        finally:
            gave_up.set()
            thread.join()

    def test_answer_taken_steadily__has_the_time_it_takes(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        # Long enough for a busy machine to read what opens the way again: most of what
        # the kernel keeps. All of it takes longer: each 32 KiB a hundredth of a second.
        patience = 1.0
        monkeypatch.setattr(request_socket, "SEND_SECONDS", patience)
        mine, theirs = pair
        content = os.urandom(MORE_THAN_FITS)
        (tmp_path / "file").write_bytes(content)
        received = bytearray()
        begun = time.monotonic()

        def read_slowly() -> None:
            while len(received) < len(content):
                threading.Event().wait(0.01)
                received.extend(theirs.recv(32 * 1024))

        thread = threading.Thread(target=read_slowly)
        thread.start()
        mine.hold()
        # The first bytes of an answer always fit.
        with (tmp_path / "file").open("rb") as file:
            assert mine.sendfile(file, 0, len(content)) == len(content)
        thread.join()
        assert received == content
        assert time.monotonic() - begun > patience

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
        monkeypatch.setattr(request_socket, "READ_SECONDS", 60.0)
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


class TestLettingGo:
    def test_nothing_comes__nobody_waits(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_socket, "DRAIN_SECONDS", 60.0)
        mine, theirs = pair
        begun = time.monotonic()
        mine.let_go()
        with pytest.raises(BlockingIOError):
            mine.recv(100)
        assert time.monotonic() - begun < request_socket.DRAIN_SECONDS / 2
        assert theirs.recv(100) == b""

    def test_still_sending__is_heard_out(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_socket, "DRAIN_SECONDS", 60.0)
        mine, theirs = pair
        theirs.sendall(b"a" * 1000)
        thread = threading.Thread(target=mine.let_go)
        thread.start()
        assert theirs.recv(100) == b""
        assert wait_until(lambda: mine.peek(1) == b"", seconds=30)  # it was read
        theirs.sendall(b"b" * 1000)
        theirs.shutdown(socket.SHUT_WR)
        thread.join(10)
        assert mine.recv(100) == b""

    def test_sends_for_ever__not_for_ever(
        self, pair: Pair, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_socket, "DRAIN_SECONDS", 0.1)
        mine, theirs = pair
        theirs.sendall(b"a")
        begun = time.monotonic()
        mine.let_go()
        assert time.monotonic() - begun < 5

    def test_the_next_request__is_waited_for_again(self, pair: Pair) -> None:
        mine, theirs = pair
        mine.let_go()
        mine.expect_request()
        theirs.sendall(b"next")
        assert mine.recv(100) == b"next"


class TestIsReadableNow:
    def test_a_listening_socket__while_a_client_waits_to_be_accepted(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            assert not is_readable_now(listener.fileno())
            with socket.create_connection(listener.getsockname()):
                # The kernel has completed the connection, on the server's behalf.
                assert is_readable_now(listener.fileno())
                listener.accept()[0].close()
                assert not is_readable_now(listener.fileno())

    def test_other_threads__get_no_turn_meanwhile(self) -> None:
        """A thread that computes all the time would have taken Python's lock."""
        turns, is_over = [0], threading.Event()

        def compute() -> None:
            while not is_over.is_set():
                turns[0] += 1

        ours, theirs = socket.socketpair()
        interval = sys.getswitchinterval()
        with ours, theirs:
            sys.setswitchinterval(0.5)
            other = threading.Thread(target=compute)
            try:
                other.start()
                time.sleep(0.01)  # and waits half a second for the lock
                before = turns[0]
                for _ in range(100):
                    is_readable_now(ours.fileno())
                seen = turns[0] - before
            finally:
                is_over.set()
                sys.setswitchinterval(interval)
                other.join()
        assert seen == 0
