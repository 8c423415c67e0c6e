"""Exit statuses of the commands. No Django here."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """How a command ended; `meaning` is what its help and docs/commands.md print.

    74 and 78 are EX_IOERR and EX_CONFIG of sysexits.h, 130 is 128 + SIGINT.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitStatus:
        status = int.__new__(cls, value)
        status._value_ = value
        status.meaning = meaning
        return status

    OK = 0, "everything is as it should be"
    DIFFERENCES = 1, "differences found"
    COULD_NOT_RUN = 2, "could not run"
    OUTPUT_FAILED = 74, "output could not be written"
    MISCONFIGURED = 78, "the configuration is wrong"
    INTERRUPTED = 130, "interrupted"

    @classmethod
    def summary(cls) -> str:
        """Return all statuses in one sentence."""
        return f"Exit status: {', '.join(f'{s.value} {s.meaning}' for s in cls)}."
