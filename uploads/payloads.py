"""Payloads: the bytes of objects. No Django.

The payload of an upload is random numbers, generated in constant memory: a pure function
of a seed and a size. So its SHA-256 is recorded with the intent before a byte is sent,
any part can be sent again, and any object can be compared with its payload.

Only the first 64 KiB of numbers are drawn. Each further block has the same numbers, in the
same order, from another random one on: drawing them all takes longer than sending them.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import random
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Protocol

#: Numbers go from 0 to 9999, as in the original challenge.
NUMBERS = 10_000
_DIGITS_PER_LINE = 4
_LINE_BYTES = _DIGITS_PER_LINE + 1
_LINES_PER_BLOCK = 64 * 1024 // _LINE_BYTES
_BLOCK_BYTES = _LINES_PER_BLOCK * _LINE_BYTES
#: Random bytes below 250 become a decimal digit each; the six above would favour some
#: digits and are dropped.
_TO_DIGIT = bytes(48 + value % 10 for value in range(256))
_BIASED = bytes(range(250, 256))


class Payload(Protocol):
    """Bytes of known length and digest that can be read from the start many times."""

    content_type: str

    @property
    def size(self) -> int: ...

    @property
    def sha256(self) -> str: ...

    def parts(self, part_bytes: int) -> Iterator[bytes | memoryview]: ...


class BytesPayload:
    """A body in memory."""

    def __init__(
        self, content: bytes, content_type: str = "application/octet-stream"
    ) -> None:
        self.content_type = content_type
        self._content = content
        self.size = len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()

    def parts(self, part_bytes: int) -> Iterator[bytes]:
        for start in range(0, self.size, part_bytes):
            yield self._content[start : start + part_bytes]


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

        `on_chunk` is called for each chunk generated, if `size` is given.
        """
        if size is not None and size < 1:
            raise ValueError(f"size is {size}; a payload has at least 1 byte.")
        self._seed = seed
        self._on_chunk = on_chunk
        #: The whole text, if it fits in one chunk.
        self._text = b""
        if size is None:
            # The numbers must be reproducible, not unpredictable.
            self._text = b"%d" % random.Random(seed).randrange(NUMBERS)  # noqa: S311
        #: Length in bytes.
        self.size = len(self._text) if size is None else size
        if size is not None and size <= _BLOCK_BYTES:
            self._text = bytes(next(self.chunks()))

    @cached_property
    def number(self) -> int:
        """The first number of the text, cut to its size."""
        return int(next(self.chunks())[:_DIGITS_PER_LINE])

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the whole text, in hexadecimal; reads it through once."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the text from its start, at most 64 KiB at a time."""
        if self._text:
            yield self._text
            return
        source = random.Random(self._seed)  # noqa: S311 as above
        lines = min(_LINES_PER_BLOCK, math.ceil(self.size / _LINE_BYTES))
        block = _lines_of_digits(source, lines)
        twice = memoryview(block + block)
        start = 0
        for remaining in range(self.size, 0, -_BLOCK_BYTES):
            self._on_chunk()
            yield twice[start : start + min(remaining, _BLOCK_BYTES)]
            start = source.randrange(lines) * _LINE_BYTES

    def parts(self, part_bytes: int) -> Iterator[bytes | memoryview]:
        """Yield the text in pieces of exactly `part_bytes`; the last may be shorter."""
        if self._text and self.size <= part_bytes:
            yield self._text
            return
        chunks = self.chunks()
        rest: bytes | memoryview = b""
        remaining = self.size
        while remaining > 0:
            # Popped, so that this generator holds no reference to a part that the
            # caller has: only one part at a time is in memory.
            part = [_memory(min(part_bytes, remaining))]
            remaining -= len(part[0])
            rest = _fill(part[0], rest, chunks)
            yield part.pop()


def _memory(size: int) -> memoryview:
    # Freeing a mapping returns its memory to the system; malloc may keep that of a large
    # part and allocate more for the next one.
    is_large = size >= 1024 * 1024
    return memoryview(mmap.mmap(-1, size) if is_large else bytearray(size))


def _fill(
    part: memoryview, rest: bytes | memoryview, chunks: Iterator[bytes | memoryview]
) -> bytes | memoryview:
    """Fill `part` with `rest` and then `chunks`; return what does not fit."""
    position = 0
    while True:
        free = len(part) - position
        part[position : position + len(rest)] = rest[:free]
        position += min(free, len(rest))
        if position == len(part):
            return rest[free:]
        rest = next(chunks)


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
