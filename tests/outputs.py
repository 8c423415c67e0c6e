"""Outputs that cannot be written."""

from __future__ import annotations

from io import StringIO

from mirrorsite.standard_streams import OutputError


class FullOutput(StringIO):
    """Takes text into its buffer, as standard output does, and fails to flush it."""

    def flush(self) -> None:
        raise OutputError("the output cannot be written: No space left on device")
