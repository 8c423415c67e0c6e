"""Expected errors, and the exit statuses of commands. No Django here."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitStatus(IntEnum):
    """How a command ended.

    74 and 78 are EX_IOERR and EX_CONFIG of sysexits.h, 130 is 128 + SIGINT.
    """

    OK = 0
    DIFFERENCES = 1
    COULD_NOT_RUN = 2
    OUTPUT_FAILED = 74
    MISCONFIGURED = 78
    INTERRUPTED = 130


#: Printed in the help of each command.
EXIT_STATUSES = (
    "Exit status: 0 everything is as it should be, 1 differences found, 2 could not run,"
    " 74 output could not be written, 78 the configuration is wrong, 130 interrupted."
)


class ServiceError(Exception):
    """An expected error: its text is a sentence for the user.

    A command that fails with it exits with `exit_status`.
    """

    exit_status: ClassVar[ExitStatus] = ExitStatus.COULD_NOT_RUN
