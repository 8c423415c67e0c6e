"""What the operators' commands share: exit statuses, output, being interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    SystemCheckError,
)
from django.db import Error as DatabaseError

from mirrorsite.actors import Actor
from uploads.exceptions import StoreError, TrailUnavailableError
from uploads.management.output import GuardedOutput, OutputError
from uploads.management.progress import Progress

DIFFERENCES_FOUND = 1
COULD_NOT_RUN = 2
#: 128 + SIGINT, as shells count.
INTERRUPTED = 130

EXIT_STATUSES = (
    "Exit status: 0 fine, 1 differences found, 2 could not run, 130 interrupted."
)


class DifferencesFound(CommandError):  # noqa: N818 it is an outcome
    """The command ran, and what it looked at is not as it should be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=DIFFERENCES_FOUND)


class Interrupted(CommandError):  # noqa: N818 it is an outcome
    """Ctrl-C; everything done until then stands."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=INTERRUPTED)


class OperatorCommand(BaseCommand):
    """A command that says by its exit status how it ended.

    Subclasses write `run` instead of `handle`, and may keep `so_far` up to date: it
    is what an interrupted command reports.
    """

    so_far = "nothing was changed"

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        kwargs.setdefault("epilog", EXIT_STATUSES)
        self.command_name = subcommand
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_json_argument(self, parser: CommandParser, what: str) -> None:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help=f"print {what}"
        )

    def check(self, *args: Any, **kwargs: Any) -> None:
        """Run the system checks; a wrong setting is no difference that was found."""
        try:
            super().check(*args, **kwargs)
        except SystemCheckError as error:
            error.returncode = COULD_NOT_RUN
            raise

    def handle(self, *args: Any, **options: Any) -> None:
        streams = self.stdout, self.stderr
        self.stdout, self.stderr = map(GuardedOutput.over, streams)
        try:
            self.run(**options)
        except OutputError as error:
            if isinstance(error.cause, BrokenPipeError):
                # Who read the output has enough; manage.py knows.
                raise error.cause from None
            raise CommandError(
                f"the output cannot be written: {_reason(error.cause)}; {self.so_far}.",
                returncode=COULD_NOT_RUN,
            ) from error
        except OSError as error:
            # A folder for temporary files, a connection: whatever the name says.
            raise CommandError(
                f"the system refused what was needed: {_reason(error)}; {self.so_far}.",
                returncode=COULD_NOT_RUN,
            ) from error
        except KeyboardInterrupt as error:
            raise Interrupted(f"interrupted; {self.so_far}.") from error
        except StoreError as error:
            raise CommandError(
                f"the bucket is of no use now: {error}; {self.so_far}.",
                returncode=COULD_NOT_RUN,
            ) from error
        except (TrailUnavailableError, DatabaseError) as error:
            raise CommandError(
                f"the database is of no use now: {_first_line(error)}; {self.so_far}.",
                returncode=COULD_NOT_RUN,
            ) from error
        finally:
            self.stdout, self.stderr = streams

    def run(self, *args: Any, **options: Any) -> None:
        """Do the work; raise `DifferencesFound` when something is not as it should be."""
        raise NotImplementedError

    def actor(self) -> Actor:
        """Return who acts, for the trail."""
        name = getattr(self, "command_name", type(self).__module__.rpartition(".")[2])
        return Actor(name=f"command:{name}")

    def progress(self, what: str, total: int | None = None) -> Progress:
        """Return a progress line on the error stream."""
        return Progress(self.stderr, what=what, total=total)

    def print_json(self, value: Mapping[str, Any]) -> None:
        """Print one JSON object on a line of its own."""
        self.stdout.write(json.dumps(value, default=str, ensure_ascii=False))


def counted(count: int, noun: str) -> str:
    """Return `1 object`, `2 objects`, `1,000 objects`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def printable(text: str) -> str:
    """Return foreign text without what would break the line or drive the terminal."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text
    )


def _reason(error: OSError) -> str:
    """Return what the system says, and of which file where it is one."""
    reason = error.strerror or _first_line(error)
    return f"{reason}: {error.filename}" if error.filename else reason


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
