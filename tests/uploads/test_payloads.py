from __future__ import annotations

import hashlib
import re
from collections import Counter
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploads.payloads import PART_BYTES, RandomNumbers, in_parts

SEEDS = st.binary(min_size=1, max_size=16)


def text_of(payload: RandomNumbers) -> bytes:
    return b"".join(payload.chunks())


@pytest.mark.parametrize(
    ("size", "start", "number", "sha256"),
    [
        (
            None,
            b"2264",
            2264,
            "314c8125db7e2d4c4c5da84889177cf47faa40c9e59374a45007134c29de54f8",
        ),
        (
            10,
            b"0952\n9959\n",
            952,
            "7b921290785ece02b24bf2a71533e8e4f29302e8968891bbfa20c14a63cfac8d",
        ),
        (
            70_000,
            b"0952\n9959\n2046\n",
            952,
            "ee2044e728363a68c9cc4d33622db70a6a8f6496895a1e7e2b661634b8784698",
        ),
    ],
    ids=["one number", "ten bytes", "two blocks"],
)
def test_known_seed__the_same_text_in_every_release(size, start, number, sha256):
    """An upload may be repeated, or compared with its object, after an upgrade."""
    payload = RandomNumbers(b"seed", size)
    assert text_of(payload)[: len(start)] == start
    assert (payload.number, payload.sha256) == (number, sha256)


class TestOneNumber:
    @given(SEEDS)
    def test_text_is_the_number(self, seed):
        payload = RandomNumbers(seed)
        assert text_of(payload) == str(payload.number).encode()
        assert 0 <= payload.number <= 9999
        assert payload.size == len(text_of(payload))

    def test_numbers_are_spread(self):
        numbers = {
            RandomNumbers(bytes([a, b])).number for a in range(64) for b in range(64)
        }
        assert len(numbers) > 3000
        assert min(numbers) < 20
        assert max(numbers) > 9979


class TestSized:
    @given(SEEDS, st.integers(1, 300_000))
    def test_exact_size_of_lines_of_numbers(self, seed, size):
        text = text_of(RandomNumbers(seed, size))
        assert len(text) == size
        assert re.fullmatch(rb"(\d{4}\n)*\d{0,4}", text)

    @given(SEEDS, st.integers(1, 200_000))
    def test_digest_and_number(self, seed, size):
        payload = RandomNumbers(seed, size)
        text = text_of(payload)
        assert payload.sha256 == hashlib.sha256(text).hexdigest()
        assert payload.number == int(text[:4])

    @given(SEEDS, st.integers(1, 200_000), st.integers(1, 50))
    def test_parts(self, seed, size, count):
        part_bytes = size // count + 1
        payload = RandomNumbers(seed, size)
        parts = [b"".join(chunks) for chunks in in_parts(payload.chunks(), part_bytes)]
        assert b"".join(parts) == text_of(payload)
        assert all(len(part) == part_bytes for part in parts[:-1])

    @pytest.mark.parametrize("size", [None, 1, PART_BYTES, PART_BYTES + 1])
    def test_parts__have_their_own_digests(self, size):
        payload = RandomNumbers(b"seed", size)
        parts = [(b"".join(part.chunks), part.sha256) for part in payload.parts()]
        assert b"".join(body for body, _ in parts) == text_of(payload)
        assert [hashlib.sha256(body).hexdigest() for body, _ in parts] == [
            digest for _, digest in parts
        ]
        assert len(parts) == (2 if payload.size > PART_BYTES else 1)

    def test_progress__reported_for_each_further_chunk(self):
        made = Mock()
        chunks = list(RandomNumbers(b"seed", 300_000, on_chunk=made).chunks())
        assert len(chunks) == 5
        assert made.call_count == 2 * 4  # for the digest, and here

    def test_digits_are_unbiased(self):
        counts = Counter(text_of(RandomNumbers(b"seed", 65_000)))
        digits = [counts[ord(digit)] for digit in "0123456789"]
        # 5,200 of each expected; five standard deviations are about 342.
        assert all(abs(count - 5_200) < 342 for count in digits)

    def test_blocks_begin_at_different_numbers(self):
        blocks = list(RandomNumbers(b"seed", 640_000).chunks())
        assert len({bytes(block) for block in blocks}) == len(blocks)
        whole = [sorted(bytes(block).split()) for block in blocks[:-1]]
        assert all(numbers == whole[0] for numbers in whole)

    @pytest.mark.parametrize("size", [0, -1])
    def test_no_size_below_one(self, size):
        with pytest.raises(ValueError, match="at least 1 byte"):
            RandomNumbers(b"seed", size)
