from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import os
import subprocess
import sys
from collections import Counter

import pytest

from mirrorsite.logs import (
    JsonFormatter,
    LineHandler,
    ReplaceTraceback,
    TextFormatter,
    current_request_id,
    json_line,
    printable,
)
from tests.support import ROOT

HOSTILE = "a\n\r\x1b[31m\x7f\x9b\u202e\u2066\u2028\ud800\x00\xa0.txt"


@pytest.fixture
def log() -> logging.Logger:
    """Return a logger of the test's own, which is in no tree and forgotten afterwards."""
    log = logging.Logger("test")  # noqa: LOG001
    log.propagate = False
    current_request_id.set("")  # a test before may have set it
    return log


def written(log: logging.Logger, formatter: logging.Formatter | None) -> io.StringIO:
    """Return the stream to which a logger writes from now on."""
    stream = io.StringIO()
    handler = LineHandler(stream)
    handler.setFormatter(formatter)
    log.addHandler(handler)
    return stream


class TestNameCause:
    def test_traceback__is_replaced_by_its_error(self, log, tmp_path):
        stream = written(log, TextFormatter())
        log.addFilter(ReplaceTraceback())
        try:
            (tmp_path / "token").read_text()
        except OSError:
            log.warning("No %s during refresh.", "token", exc_info=True)
        log.warning("without %s", "one")
        first, second = stream.getvalue().splitlines()
        assert "No token during refresh: FileNotFoundError: [Errno 2]" in first
        assert second.endswith("without one")


class TestLineHandler:
    def test_slow_pipe__long_lines_do_not_mix(self):
        """Longer than PIPE_BUF, from several threads and workers, with short ones."""
        sizes = {"a": 20_000, "b": 20_000, "c": 100, "d": 100}
        code = (
            "import logging, sys, threading\n"
            "from mirrorsite.logs import LineHandler\n"
            "log = logging.Logger('test')\n"
            "log.addHandler(LineHandler(sys.stdout))\n"
            "def write(letter, size):\n"
            "    for _ in range(20):\n"
            "        log.warning(letter * size)\n"
            f"threads = [threading.Thread(target=write, args=a) for a in {sizes}.items()]\n"
            "[thread.start() for thread in threads]\n"
            "[thread.join() for thread in threads]\n"
        )
        reading, writing = os.pipe()
        children = [
            subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=writing)
            for _ in range(2)
        ]
        os.close(writing)
        lines = b""
        while part := os.read(reading, 1000):  # less than is written at a time
            lines += part
        os.close(reading)
        assert [child.wait() for child in children] == [0, 0]
        found = Counter(lines.decode().splitlines())
        assert found == {letter * size: 40 for letter, size in sizes.items()}

    def test_event_loop__lines_are_complete_and_in_order(self, log):
        """Also those of its threads, of its last iteration, and after an error."""
        stream = written(log, None)

        async def serve() -> None:
            log.warning("1")
            log.warning("2")
            await asyncio.to_thread(log.warning, "3")
            log.warning("no %d", "number")  # cannot be formatted
            log.warning("4")
            await asyncio.sleep(0)
            assert stream.getvalue().split() == ["1", "2", "3", "4"]
            log.warning("5")

        asyncio.run(serve())
        log.warning("6")
        log.handlers[0].flush()
        assert stream.getvalue().split() == ["1", "2", "3", "4", "5", "6"]

    def test_event_loop__full_disk__is_not_logged_again(self, log, capsys):
        class FullDisk(io.StringIO):
            def write(self, text: str) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

        log.addHandler(LineHandler(FullDisk()))

        async def serve() -> None:
            log.warning("lost")
            await asyncio.sleep(0)

        asyncio.run(serve())
        text = capsys.readouterr().err
        assert text.startswith("--- Logging error ---")
        assert "No space left on device" in text

    @pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
    def test_foreign_text__harmless__in_a_traceback_too(self, log, formatter):
        stream = written(log, formatter)
        log.warning("%s", HOSTILE)
        assert stream.getvalue().count("\n") == 1
        try:
            raise ValueError("\x1b[31m\u202e.txt")
        except ValueError:
            log.exception("failed")
        assert "Traceback" in stream.getvalue()
        assert stream.getvalue().replace("\n", "").isprintable()


class TestPrintable:
    def test_printable(self):
        assert printable(HOSTILE) == (
            r"a\n\r\x1b[31m\x7f\x9b\u202e\u2066\u2028\ud800\x00\xa0.txt"
        )

    @pytest.mark.parametrize("text", ["", "a b", "uploads/ü/日本.txt", "☃ 😀"])
    def test_printable__harmless__unchanged(self, text):
        assert printable(text) == text


class TestJsonLine:
    def test_json_line(self):
        value = {"key": HOSTILE, "ü": "😀\U000e0001"}
        line = json_line(value)
        assert line.isprintable()
        assert json.loads(line) == value
        assert '"ü": "😀' in line
