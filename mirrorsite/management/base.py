"""The base class of commands: exit status, escaped output, errors in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseError

from mirrorsite.actors import Actor
from mirrorsite.database import reason
from mirrorsite.errors import EXIT_STATUSES, ExitStatus, ServiceError
from mirrorsite.logs import json_line, printable
from mirrorsite.management.progress import Progress

#: Errors that end a command with a sentence instead of a traceback.
EXPECTED = (
    ServiceError,
    ImproperlyConfigured,
    ValidationError,
    DatabaseError,
    OSError,
    EOFError,
    UnicodeEncodeError,
    KeyboardInterrupt,
)


def describe(error: BaseException) -> tuple[str, ExitStatus]:
    """Return the sentence and the exit status for one of the `EXPECTED` errors."""
    status = ExitStatus.COULD_NOT_RUN
    match error:
        case ServiceError():
            return str(error), error.exit_status
        case ImproperlyConfigured():
            return f"mirrorsite is misconfigured: {error}", ExitStatus.MISCONFIGURED
        case ValidationError():
            return " ".join(error.messages), status
        case DatabaseError():
            return f"the database cannot be used: {reason(error)}", status
        case OSError():
            file = f": {error.filename}" if error.filename else ""
            return (
                f"the system reports: {error.strerror or reason(error)}{file}",
                status,
            )
        case EOFError():
            return "standard input ended before every question was answered", status
        case UnicodeEncodeError():
            return f"{error.object!r} is not UTF-8", status
        case _:
            return "interrupted", ExitStatus.INTERRUPTED


class CommandFailed(CommandError):  # noqa: N818 it is an outcome
    """The command failed, or found differences."""

    def __init__(
        self, message: str, status: ExitStatus = ExitStatus.COULD_NOT_RUN
    ) -> None:
        super().__init__(printable(message), returncode=status)


class DifferencesFound(CommandFailed):
    """The command ran and found differences."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitStatus.DIFFERENCES)


class OperatorCommand(BaseCommand):
    """Base of every command; the exit status reports the outcome.

    Subclasses implement `run` instead of `handle` and print through `print`, `note`,
    `print_json` and `print_result`, which escape control characters and erase the
    progress line. They may keep `so_far` up to date: it ends the message of a command
    that fails or is interrupted.
    """

    so_far = "nothing was changed"
    #: What `--json` prints; without it the command has no such option.
    json_output = ""
    as_json = False
    _prints_errors = False
    _progress: Progress | None = None

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        kwargs.setdefault("epilog", EXIT_STATUSES)
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        if self.json_output:
            parser.add_argument(
                "--json",
                action="store_true",
                dest="as_json",
                help=f"print {self.json_output}",
            )
        # The message quotes an argument, which may contain control characters.
        error = parser.error
        parser.error = lambda message: error(printable(message))  # type: ignore[method-assign]
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        self._prints_errors = True
        super().run_from_argv(argv)

    def execute(self, *args: Any, **options: Any) -> None:
        try:
            super().execute(*args, **options)
        except CommandFailed as error:
            if not self._prints_errors or options["traceback"]:
                raise
            # Django would print the name of the error's class before the sentence.
            self.stderr.write(str(error))
            sys.exit(error.returncode)

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json = options.pop("as_json", False)
        try:
            try:
                self.run(**options)
            finally:
                self._clear_progress()
                self.stdout.flush()
        except EXPECTED as error:
            sentence, status = describe(error)
            message = f"{sentence.rstrip('.')}; {self.so_far}."
            raise CommandFailed(message, status) from error

    def run(self, *args: Any, **options: Any) -> None:
        """Do the work; raise `DifferencesFound` if a check fails."""
        raise NotImplementedError

    def actor(self) -> Actor:
        """Return the actor that the command's events name."""
        return Actor(name=f"command:{type(self).__module__.rpartition('.')[2]}")

    def progress(self, what: str, total: Callable[[], int] | None = None) -> Progress:
        """Return a progress line on standard error; `total` returns the number of items."""
        self._progress = Progress(self.stderr, what=what, total=total)
        return self._progress

    def print(self, line: str) -> None:
        """Print one line to standard output."""
        self._clear_progress()
        self.stdout.write(printable(line))

    def note(self, line: str) -> None:
        """Print one line to standard error."""
        self._clear_progress()
        self.stderr.write(printable(line))

    def print_json(self, value: Mapping[str, Any]) -> None:
        """Print one JSON object on a line of its own."""
        self._clear_progress()
        self.stdout.write(json_line(value))

    def print_result(self, value: Mapping[str, Any], line: str) -> None:
        """Print a result as one JSON object or as one line, as the operator chose."""
        if self.as_json:
            self.print_json(value)
        else:
            self.print(line)

    def _clear_progress(self) -> None:
        if self._progress:
            self._progress.clear()


def counted(count: int, noun: str) -> str:
    """Return `1 object`, `2 objects`, `1,000 objects`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
