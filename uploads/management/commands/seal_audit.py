from __future__ import annotations

import json
import logging
import signal
import threading
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connection

from uploads.audit.seals import Sealed, seal_audit
from uploads.exceptions import SealError, UploadsError
from uploads.management.arguments import positive_seconds
from uploads.management.command import OperatorCommand

logger = logging.getLogger(__name__)


class Command(OperatorCommand):
    help = (
        "Seal the events that no seal covers yet: sign them, copy them to the bucket."
        " Without any, seal the silence. Exit status 1: the bucket contradicts the"
        " database; 2: could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--every",
            type=positive_seconds,
            metavar="SECONDS",
            help="go on until SIGTERM or Ctrl-C; errors are logged and tried again",
        )
        parser.add_argument("--json", action="store_true", help="a JSON line per run")

    def handle(
        self, *, every: float | None, json: bool, verbosity: int, **options: Any
    ) -> None:
        self._is_quiet = verbosity == 0
        if every is None:
            try:
                self._tell(seal_audit(), as_json=json)
            except UploadsError as error:
                status = 1 if isinstance(error, SealError) else 2
                raise CommandError(str(error), returncode=status) from error
            return
        self._go_on(every, as_json=json)

    def _go_on(self, every: float, *, as_json: bool) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while not stop.is_set():
            begun = time.monotonic()
            try:
                self._tell(seal_audit(), as_json=as_json)
            except UploadsError as error:
                logger.error("not sealed: %s", error)
            finally:
                # Not kept open while idle; and a broken one is not used again.
                connection.close()
            stop.wait(max(0.0, begun + every - time.monotonic()))

    def _tell(self, made: list[Sealed], *, as_json: bool) -> None:
        if self._is_quiet:
            return
        events = sum(sealed.event_count for sealed in made)
        numbers = [sealed.number for sealed in made]
        if as_json:
            self.stdout.write(
                json.dumps(
                    {
                        "seals": numbers,
                        "events": events,
                        "finished": [s.number for s in made if s.finished],
                    }
                )
            )
        else:
            word = "seal" if len(numbers) == 1 else "seals"
            names = ", ".join(map(str, numbers))
            self.stdout.write(f"{word} {names}: {events} events")
