from __future__ import annotations

import io
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from mirrorsite.logs import JsonFormatter, LineHandler


@pytest.fixture
def log() -> logging.Logger:
    """Return a logger of the test's own, which is in no tree and forgotten afterwards."""
    log = logging.Logger("test")  # noqa: LOG001
    log.propagate = False
    return log


class TestLineHandler:
    def test_threads__no_line_is_torn(
        self, log: logging.Logger, tmp_path: Path
    ) -> None:
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

    def test_pipe_that_takes_little__whole_line(self, log: logging.Logger) -> None:
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

    def test_filter__and_no_file(self, log: logging.Logger) -> None:
        stream = io.StringIO()
        handler = LineHandler(stream)
        handler.addFilter(lambda record: "secret" not in record.getMessage())
        log.addHandler(handler)
        log.warning("a secret")
        log.warning("a line")
        assert stream.getvalue() == "a line\n"

    def test_what_cannot_be_formatted__is_reported_and_not_raised(
        self, log: logging.Logger, tmp_path: Path, capsys: Any
    ) -> None:
        with (tmp_path / "log").open("a") as stream:
            log.addHandler(LineHandler(stream))
            log.warning("%d", "no number")
            log.warning("half \ud800 of a pair")
        assert "Logging error" in capsys.readouterr().err
        assert (tmp_path / "log").read_text() == "half ? of a pair\n"
