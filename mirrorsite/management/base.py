"""What all commands share: exit statuses, safe output, errors in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    SystemCheckError,
)
from django.db import Error as DatabaseError

from mirrorsite.actors import Actor
from mirrorsite.database import reason
from mirrorsite.errors import ServiceError
from mirrorsite.exit_status import ExitStatus
from mirrorsite.logs import json_line, printable
from mirrorsite.management.progress import Progress
from mirrorsite.standard_streams import OutputError


class CommandFailed(CommandError):  # noqa: N818 it is an outcome
    """The command could not do what it was asked."""

    def __init__(
        self, message: str, status: ExitStatus = ExitStatus.COULD_NOT_RUN
    ) -> None:
        super().__init__(printable(message), returncode=status)


class DifferencesFound(CommandFailed):
    """The command ran, and what it checked is not as it should be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitStatus.DIFFERENCES)


class OperatorCommand(BaseCommand):
    """Base of every command; it reports by its exit status how it ended.

    Subclasses write `run` instead of `handle` and print through `print`, `warn`,
    `print_json` and `print_result`, which escape control characters. They may keep
    `so_far` up to date: it ends the message of a command that fails or is interrupted.
    """

    so_far = "nothing was changed"

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        kwargs.setdefault("epilog", ExitStatus.summary())
        self.command_name = subcommand
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # The message quotes the refused argument: escape its control characters.
        error = parser.error
        parser.error = lambda message: error(printable(message))  # type: ignore[method-assign]
        return parser

    def add_json_argument(self, parser: CommandParser, what: str) -> None:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help=f"print {what}"
        )

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run the system checks; a wrong setting is not a difference."""
        try:
            super().check(*args, **kwargs)
        except SystemCheckError as error:
            error.returncode = ExitStatus.MISCONFIGURED
            raise

    def handle(self, *args: Any, **options: Any) -> None:
        with self._errors_as_messages():
            try:
                self.run(**options)
            finally:
                self.stdout.flush()

    def run(self, *args: Any, **options: Any) -> None:
        """Do the work; raise `DifferencesFound` when something is not as it should be."""
        raise NotImplementedError

    def actor(self) -> Actor:
        """Return the actor that the command's events name."""
        name = getattr(self, "command_name", type(self).__module__.rpartition(".")[2])
        return Actor(name=f"command:{name}")

    def progress(self, what: str, total: int | None = None) -> Progress:
        """Return a progress line on the error stream."""
        return Progress(self.stderr, what=what, total=total)

    def print(self, line: str) -> None:
        """Print one line to standard output."""
        self.stdout.write(printable(line))

    def warn(self, line: str) -> None:
        """Print one line to standard error."""
        self.stderr.write(printable(line))

    def print_json(self, value: Mapping[str, Any]) -> None:
        """Print one JSON object on a line of its own."""
        self.stdout.write(json_line(value))

    def print_result(
        self, value: Mapping[str, Any], line: str, *, as_json: bool
    ) -> None:
        """Print a result as one JSON object or as one line, as the operator chose."""
        if as_json:
            self.print_json(value)
        else:
            self.print(line)

    @contextmanager
    def _errors_as_messages(self) -> Iterator[None]:
        """Turn every expected error into a sentence and an exit status."""
        try:
            yield
        except OutputError as error:
            raise self._failed(str(error), ExitStatus.OUTPUT_FAILED) from error
        except ImproperlyConfigured as error:
            raise self._failed(
                f"mirrorsite is misconfigured: {error}", ExitStatus.MISCONFIGURED
            ) from error
        except ServiceError as error:
            raise self._failed(str(error), error.exit_status) from error
        except DatabaseError as error:
            raise self._failed(
                f"the database cannot be used: {reason(error)}"
            ) from error
        except OSError as error:
            raise self._failed(f"the system reports: {_reason(error)}") from error
        except KeyboardInterrupt as error:
            raise self._failed("interrupted", ExitStatus.INTERRUPTED) from error

    def _failed(
        self, what: str, status: ExitStatus = ExitStatus.COULD_NOT_RUN
    ) -> CommandFailed:
        return CommandFailed(f"{what.rstrip('.')}; {self.so_far}.", status)


@contextmanager
def ending_as_ours() -> Iterator[None]:
    """Map the exit status of one of Django's own commands to an `ExitStatus`.

    Django uses 1 for every error; here that means that differences were found.
    """
    try:
        yield
    except CommandError as error:
        error.returncode = ExitStatus.COULD_NOT_RUN
        raise
    except SystemExit as error:
        raise SystemExit(ExitStatus.INTERRUPTED if error.code else 0) from error


def counted(count: int, noun: str) -> str:
    """Return `1 object`, `2 objects`, `1,000 objects`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _reason(error: OSError) -> str:
    """Return what the system reports, and of which file where there is one."""
    words = error.strerror or reason(error)
    return f"{words}: {error.filename}" if error.filename else words
