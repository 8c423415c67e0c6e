from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections import Counter

import pytest

from mirrorsite.logs import JsonFormatter, LineHandler, ReplaceTraceback, TextFormatter
from tests.support import ROOT


@pytest.fixture
def log() -> logging.Logger:
    """Return a logger of the test's own, which is in no tree and forgotten afterwards."""
    log = logging.Logger("test")  # noqa: LOG001
    log.propagate = False
    return log


class TestNameCause:
    def test_traceback__is_replaced_by_its_error(self, log, tmp_path):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(TextFormatter())
        log.addHandler(handler)
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
    def test_threads__no_line_is_torn(self, log, tmp_path):
        path = tmp_path / "log"
        with path.open("a") as stream:
            handler = LineHandler(stream)
            handler.setFormatter(JsonFormatter())
            log.addHandler(handler)

            def write(number: int) -> None:
                for _ in range(200):
                    log.info("%s %s", number, "x" * 5000)

            threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        lines = path.read_text().splitlines()
        assert len(lines) == 8 * 200
        assert {json.loads(line)["message"][0] for line in lines} == set("01234567")

    def test_pipe_that_takes_little__whole_line(self, log):
        """A write to a full pipe may be cut short; the rest follows."""
        reading, writing = os.pipe()
        read: list[bytes] = []

        def drain() -> None:
            with os.fdopen(reading, "rb") as pipe:
                read.append(pipe.readline())

        thread = threading.Thread(target=drain)
        thread.start()
        with os.fdopen(writing, "w") as stream:
            log.addHandler(LineHandler(stream))
            log.warning("y" * 300_000)
        thread.join()
        assert read == [b"y" * 300_000 + b"\n"]

    @pytest.mark.parametrize("processes", [1, 2])
    def test_slow_pipe__long_lines_do_not_mix(self, processes):
        """Longer than PIPE_BUF, from several threads and workers, with short ones."""
        code = (
            "import logging, sys, threading\n"
            "from mirrorsite.logs import LineHandler\n"
            "log = logging.Logger('test')\n"
            "log.addHandler(LineHandler(sys.stdout))\n"
            "def write(letter, size):\n"
            "    for _ in range(20):\n"
            "        log.warning(letter * size)\n"
            "threads = [threading.Thread(target=write, args=pair) for pair in\n"
            "           (('a', 20_000), ('b', 20_000), ('c', 100), ('d', 100))]\n"
            "[thread.start() for thread in threads]\n"
            "[thread.join() for thread in threads]\n"
        )
        reading, writing = os.pipe()
        children = [
            subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=writing)
            for _ in range(processes)
        ]
        os.close(writing)
        lines = b""
        while part := os.read(reading, 1000):  # less than is written at a time
            lines += part
        os.close(reading)
        assert [child.wait() for child in children] == [0] * processes
        kinds = Counter(
            ("".join(sorted(set(line))), len(line))
            for line in lines.decode().splitlines()
        )
        assert kinds == {
            ("a", 20_000): 20 * processes,
            ("b", 20_000): 20 * processes,
            ("c", 100): 20 * processes,
            ("d", 100): 20 * processes,
        }

    def test_foreign_text__harmless(self, log, tmp_path):
        hostile = "key\n12:00:00.000 INFO    all is well\x1b[2J\u202e\x9b\ud800"
        for formatter in (TextFormatter(), JsonFormatter()):
            path = tmp_path / type(formatter).__name__
            with path.open("a") as stream:
                handler = LineHandler(stream)
                handler.setFormatter(formatter)
                log.handlers = [handler]
                log.warning("%s", hostile)
            text = path.read_text()
            assert text.count("\n") == 1
            assert text.rstrip("\n").isprintable()

    def test_filter__and_no_file(self, log):
        stream = io.StringIO()
        handler = LineHandler(stream)
        handler.addFilter(lambda record: "secret" not in record.getMessage())
        log.addHandler(handler)
        log.warning("a secret")
        log.warning("a line")
        assert stream.getvalue() == "a line\n"
