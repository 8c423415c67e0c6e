from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Any

from django.core.management.base import CommandParser
from django.db import connection

from mirrorsite.management.arguments import positive_seconds
from mirrorsite.management.base import OperatorCommand, counted
from uploads.audit.seals import Sealed, seal_audit
from uploads.exceptions import UploadsError

logger = logging.getLogger(__name__)


class Command(OperatorCommand):
    help = (
        "Seal the unsealed events: sign them, and copy them to the bucket. If there are"
        " none, make an empty seal. Exit status 1: the bucket contradicts the database."
    )
    so_far = "the next run finishes what this one began"
    json_output = "one JSON object per line: one for each run"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--every",
            type=positive_seconds,
            metavar="SECONDS",
            help="repeat until SIGTERM or Ctrl-C; errors are logged, and do not end it",
        )

    def run(self, *, every: float | None, verbosity: int, **options: Any) -> None:
        self._is_quiet = verbosity == 0
        if every is None:
            self._print(seal_audit())
        else:
            self._repeat(every)

    def _repeat(self, every: float) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while not stop.is_set():
            started = time.monotonic()
            try:
                self._print(seal_audit())
            except UploadsError as error:
                logger.error("not sealed: %s", error)
            finally:
                # Keep no idle connection open, and do not reuse a broken one.
                connection.close()
            stop.wait(max(0.0, started + every - time.monotonic()))

    def _print(self, made: list[Sealed]) -> None:
        if self._is_quiet:
            return
        events = sum(sealed.event_count for sealed in made)
        numbers = [sealed.number for sealed in made]
        # Those that an interrupted run began.
        finished = [sealed.number for sealed in made if sealed.is_recovered]
        word = "seal" if len(numbers) == 1 else "seals"
        self.print_result(
            {"seals": numbers, "events": events, "finished": finished},
            f"{word} {', '.join(map(str, numbers))}: {counted(events, 'event')}",
        )
        self.stdout.flush()
