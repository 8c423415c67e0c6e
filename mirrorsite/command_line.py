"""Running a management command: expected errors become a sentence and an exit status."""

from __future__ import annotations

import signal
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line, get_commands
from django.core.management.base import CommandError, SystemCheckError
from django.db import Error

from mirrorsite.database import lift_statement_timeout, reason
from mirrorsite.exit_status import ExitStatus
from mirrorsite.logs import printable
from mirrorsite.management.base import CommandFailed
from mirrorsite.standard_streams import OutputError, guard_standard_streams


def run(arguments: list[str]) -> None:
    """Run the command that `arguments` name; exit with a status of `ExitStatus`."""
    guard_standard_streams()
    lift_statement_timeout()
    # SIGTERM is handled as Ctrl-C is, so that the command cleans up. Without a handler,
    # the first process of a container would even ignore SIGTERM.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        try:
            _refuse_other_encodings(arguments)
            _execute(arguments)
        finally:
            # Writing what is still buffered can fail too.
            sys.stdout.flush()
    except OutputError as error:
        _fail(str(error), ExitStatus.OUTPUT_FAILED)
    except ImproperlyConfigured as error:
        _fail(f"mirrorsite cannot start: {error}", ExitStatus.MISCONFIGURED)
    except Error as error:
        # Raised by Django's own commands; `OperatorCommand` handles these errors itself.
        _fail(
            f"the database cannot be used: {printable(reason(error))}",
            ExitStatus.COULD_NOT_RUN,
        )
    except EOFError:
        _fail(
            "standard input ended before every question was answered",
            ExitStatus.COULD_NOT_RUN,
        )
    except KeyboardInterrupt:
        _fail("interrupted", ExitStatus.INTERRUPTED)
    except Exception:  # noqa: BLE001 the outermost place
        # Python's own status would be 1, which means that differences were found.
        _fail(traceback.format_exc().rstrip(), ExitStatus.COULD_NOT_RUN)


def _execute(arguments: list[str]) -> None:
    try:
        execute_from_command_line(arguments)
    except CommandError as error:  # with --traceback
        _fail(traceback.format_exc().rstrip(), _status(error))
    except SystemExit as error:
        # Django ends with 1 for an unknown command.
        if error.code == 1 and arguments[1:] and arguments[1] not in get_commands():
            sys.exit(ExitStatus.COULD_NOT_RUN)
        # Django has printed the error.
        if isinstance(error.__context__, CommandError):
            sys.exit(_status(error.__context__))
        raise


def _status(error: CommandError) -> int:
    """Return the exit status of an error.

    Django uses 1 for any error; only that of `check` means that differences were found.
    """
    if error.returncode == 1 and not isinstance(
        error, CommandFailed | SystemCheckError
    ):
        return ExitStatus.COULD_NOT_RUN
    return error.returncode


def _refuse_other_encodings(arguments: list[str]) -> None:
    """Refuse arguments that are not UTF-8: PostgreSQL and JSON cannot hold them."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            _fail(
                f"the argument '{printable(argument)}' is not UTF-8",
                ExitStatus.COULD_NOT_RUN,
            )


def _fail(message: str, status: int) -> NoReturn:
    with suppress(OutputError):
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    sys.exit(status)
