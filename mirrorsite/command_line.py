"""Runs management commands: expected errors become a sentence and an exit status."""

from __future__ import annotations

import gc
import signal
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

from django.core.management import execute_from_command_line
from django.core.management.base import SystemCheckError

from mirrorsite.database import lift_statement_timeout
from mirrorsite.errors import ExitStatus
from mirrorsite.logs import printable
from mirrorsite.management.base import EXPECTED, CommandFailed, describe
from mirrorsite.standard_streams import OutputError, guard_standard_streams


def run(arguments: list[str]) -> None:
    """Run the command that `arguments` name; exit with a status of `ExitStatus`."""
    guard_standard_streams()
    lift_statement_timeout()
    # Commands create many objects for each page of keys or rows. With Python's default
    # threshold, garbage collection would take half of the processor time of
    # reconcile_uploads.
    gc.set_threshold(10_000)
    # SIGTERM acts like Ctrl-C, so that the command cleans up. Without a handler, the first
    # process of a container would ignore it.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        try:
            for argument in arguments:
                argument.encode()  # raises unless it is UTF-8, which PostgreSQL requires
            execute_from_command_line(arguments)
        finally:
            # Writing what is still buffered can fail too.
            sys.stdout.flush()
    except SystemExit as end:
        # Django has printed the error, if any; it is the context of this exit.
        if end.code == 1 and end.__context__ is not None:
            sys.exit(_status(end.__context__, arguments))
        raise
    except EXPECTED as error:
        # Raised by Django's own commands; `OperatorCommand` handles these errors itself.
        sentence, status = describe(error)
        _fail(printable(sentence), status)
    except Exception as error:  # noqa: BLE001 a bug, or the option --traceback
        _fail(traceback.format_exc().rstrip(), _status(error, arguments))


def _status(error: BaseException, arguments: list[str]) -> int:
    """Return the exit status of an error.

    Django uses 1 for any error, even for an interruption; here 1 means that differences
    were found, by a command of this service or by `check`.
    """
    if isinstance(error, CommandFailed):
        return error.returncode
    if isinstance(error, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    if isinstance(error, SystemCheckError):
        is_check = arguments[1:2] == ["check"]
        return ExitStatus.DIFFERENCES if is_check else ExitStatus.MISCONFIGURED
    return ExitStatus.COULD_NOT_RUN


def _fail(message: str, status: int) -> NoReturn:
    with suppress(OutputError):
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    sys.exit(status)
