"""Payloads: the bytes of objects. No Django.

The payload of an upload is random numbers, generated in constant memory: a pure function
of a seed and a size. So its SHA-256 is recorded with the intent before a byte is sent,
any part can be sent again, and any object can be compared with its payload.

Only the first 64 KiB of numbers are drawn: drawing them all would take longer than sending
them. Each further block has the same numbers in the same cyclic order, but begins with a
random one of them.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from mmap import mmap
from typing import NamedTuple

#: Numbers go from 0 to 9999, as in the original challenge.
NUMBERS = 10_000
_DIGITS_PER_LINE = 4
_LINE_BYTES = _DIGITS_PER_LINE + 1
#: No chunk is longer, in bytes: the store's timeout applies to each.
MAX_CHUNK_BYTES = 64 * 1024
_LINES_PER_BLOCK = MAX_CHUNK_BYTES // _LINE_BYTES
_BLOCK_BYTES = _LINES_PER_BLOCK * _LINE_BYTES
#: Random bytes below 250 become a decimal digit each; the six above would favour some
#: digits and are dropped.
_TO_DIGIT = bytes(48 + value % 10 for value in range(256))
_BIASED = bytes(range(250, 256))

#: A larger payload is sent in parts of this size, in bytes.
PART_BYTES = 8 * 1024 * 1024

Chunk = bytes | memoryview
#: Consecutive chunks of a text; together they are sent as one body.
Chunks = Sequence[Chunk]


class Part(NamedTuple):
    """What one request sends, and its SHA-256 in hexadecimal."""

    chunks: Chunks
    sha256: str


class BytesPayload:
    """A body in memory, or a file that is mapped to memory."""

    def __init__(
        self, content: bytes | mmap, content_type: str = "application/octet-stream"
    ) -> None:
        self.content_type = content_type
        self._content = content
        self.size = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()

    def chunks(self) -> Iterator[Chunk]:
        """Yield the bytes from the start, at most `MAX_CHUNK_BYTES` at a time."""
        content = memoryview(self._content)
        for start in range(0, self.size, MAX_CHUNK_BYTES):
            yield content[start : start + MAX_CHUNK_BYTES]

    def parts(self) -> Iterator[Part]:
        """Yield parts of exactly `PART_BYTES`; the last may be shorter."""
        return parts_of(self.chunks())


class RandomNumbers:
    """A text of random numbers.

    Without a size it holds one number from 0 to 9999. With a size it holds exactly
    that many bytes: numbers of four digits, one per line, the last one cut to fit.
    """

    content_type = "text/plain; charset=us-ascii"

    def __init__(
        self,
        seed: bytes,
        size: int | None = None,
        *,
        on_chunk: Callable[[], None] = lambda: None,
    ) -> None:
        """`seed` decides every byte; `size` is in bytes, at least 1.

        `on_chunk` is called for each chunk after the first.
        """
        if size is not None and size < 1:
            raise ValueError(f"size is {size}; a payload has at least 1 byte.")
        self._seed = seed
        self._on_chunk = on_chunk
        # The numbers must be reproducible, not unpredictable.
        source = random.Random(seed)  # noqa: S311
        if size is None:
            self._first = b"%d" % source.randrange(NUMBERS)
        else:
            lines = min(_LINES_PER_BLOCK, math.ceil(size / _LINE_BYTES))
            self._first = bytes(_lines_of_digits(source, lines)[:size])
        #: Length in bytes.
        self.size = len(self._first) if size is None else size
        #: The first number of the text; a text shorter than four bytes has fewer digits.
        self.number = int(self._first[:_DIGITS_PER_LINE])
        if self.size <= PART_BYTES:
            #: SHA-256 of the whole text, in hexadecimal.
            self.sha256 = sha256_of(self.chunks())
            self._part_digests = [self.sha256]
        else:
            # In two threads: hashlib releases the GIL.
            with ThreadPoolExecutor(1) as pool:
                digests = pool.submit(self._digests_of_parts)
                self.sha256 = sha256_of(self.chunks())
                self._part_digests = digests.result()

    def chunks(self) -> Iterator[Chunk]:
        """Yield the text from its start."""
        yield self._first
        twice = memoryview(self._first * 2)
        source = random.Random(self._seed)  # noqa: S311 as above
        for remaining in range(self.size - _BLOCK_BYTES, 0, -_BLOCK_BYTES):
            self._on_chunk()
            start = source.randrange(_LINES_PER_BLOCK) * _LINE_BYTES
            yield twice[start : start + min(remaining, _BLOCK_BYTES)]

    def parts(self) -> Iterator[Part]:
        """Yield the parts: slices of the drawn numbers, without memory of their own."""
        parts = in_parts(self.chunks(), PART_BYTES)
        return map(Part, parts, self._part_digests)

    def _digests_of_parts(self) -> list[str]:
        return [part.sha256 for part in parts_of(self.chunks())]


#: Bytes of known length and digest that can be read from the start many times.
Payload = BytesPayload | RandomNumbers


def sha256_of(chunks: Iterable[Chunk]) -> str:
    """Return the SHA-256 of consecutive chunks, in hexadecimal."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def parts_of(chunks: Iterable[Chunk]) -> Iterator[Part]:
    """Yield the parts of consecutive chunks, hashing each."""
    for part in in_parts(chunks, PART_BYTES):
        yield Part(part, sha256_of(part))


def in_parts(chunks: Iterable[Chunk], part_bytes: int) -> Iterator[Chunks]:
    """Yield each part as a list of its chunks.

    Parts have exactly `part_bytes`; the last may be shorter.
    """
    part: list[Chunk] = []
    free = part_bytes
    for chunk in chunks:
        while len(chunk) > free:
            yield [*part, chunk[:free]]
            part, chunk, free = [], chunk[free:], part_bytes
        part.append(chunk)
        free -= len(chunk)
    yield part


def _lines_of_digits(source: random.Random, lines: int) -> bytearray:
    wanted = lines * _DIGITS_PER_LINE
    digits = b""
    while len(digits) < wanted:
        # 1 in 43 bytes is dropped; asking for 3 % more makes a second round rare.
        more = source.randbytes((wanted - len(digits)) * 103 // 100 + 16)
        digits += more.translate(_TO_DIGIT, _BIASED)
    text = bytearray(b"\n") * (lines * _LINE_BYTES)
    for position in range(_DIGITS_PER_LINE):
        text[position::_LINE_BYTES] = digits[position:wanted:_DIGITS_PER_LINE]
    return text
