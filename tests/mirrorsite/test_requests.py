"""Request identifiers, client addresses, and what is not found."""

from __future__ import annotations

import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorsite.logs import client_address, quoted_path, request_id_from


class TestRequestId:
    @pytest.mark.parametrize("offered", ["a", "A-b_c.1~+/=:", "x" * 128])
    def test_well_formed__is_kept(self, offered):
        assert request_id_from(offered) == offered

    @pytest.mark.parametrize("offered", [None, "", "a b", "é", "a\n", "x" * 129, '"'])
    def test_other__is_replaced(self, offered):
        made = request_id_from(offered)
        assert made != offered
        assert len(made) == 32
        assert made != request_id_from(offered)

    def test_forked__differ(self):
        """Each worker is a fork, and must not count on from the same place."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, request_id_from("").encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 32).decode() != request_id_from("")
        os.close(reading)
        os.close(writing)


class TestClientAddress:
    @pytest.mark.parametrize(
        ("peer", "forwarded", "trusted", "expected"),
        [
            ("192.0.2.1", "", 0, "192.0.2.1"),
            ("192.0.2.1", "203.0.113.9", 0, "192.0.2.1"),  # spoofed
            ("10.0.0.1", "203.0.113.9", 1, "203.0.113.9"),
            ("10.0.0.1", "1.1.1.1, 203.0.113.9", 1, "203.0.113.9"),  # spoofed left
            ("10.0.0.1", "203.0.113.9, 10.0.0.2", 2, "203.0.113.9"),
            # It came past one of the proxies: the entry may be the client's own word.
            ("10.0.0.1", "203.0.113.9", 2, "10.0.0.1"),
            ("10.0.0.1", "203.0.113.9:5678", 1, "203.0.113.9"),
            ("10.0.0.1", "[2001:db8::1]:99", 1, "2001:db8::1"),
            ("10.0.0.1", "[2001:db8::1]", 1, "2001:db8::1"),
            ("10.0.0.1", "2001:db8::1", 1, "2001:db8::1"),
            ("fe80::1%eth0", "", 0, "fe80::1"),
            ("10.0.0.1", "[fe80::1%25eth0]:1", 1, "fe80::1"),
            ("10.0.0.1", "[]", 1, None),
            ("10.0.0.1", ":80", 1, None),
            ("10.0.0.1", "", 1, "10.0.0.1"),
            ("10.0.0.1", "nonsense", 1, None),
            ("::1", "", 0, "::1"),
            ("", "", 0, None),  # a Unix socket
        ],
    )
    def test_address(self, peer, forwarded, trusted, expected):
        assert client_address(peer, forwarded, trusted) == expected

    @given(st.text(), st.integers(1, 5))
    def test_what_the_client_sends_changes_nothing(self, sent, hops):
        chain = [f"203.0.113.{number}" for number in range(hops)]
        forwarded = ",".join([sent, *chain])
        assert client_address("10.0.0.1", forwarded, hops) == "203.0.113.0"


def test_long_texts_of_clients__not_kept_in_memory():
    tracemalloc.start()
    try:
        for number in range(300):
            quoted_path(b"/%d" % number + b'"' * 20_000)
            client_address("10.0.0.1", f"{number}" + "1" * 8_000, number % 2)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000
