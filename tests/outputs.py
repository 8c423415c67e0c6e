"""Outputs that cannot be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from io import StringIO
from typing import Any

from mirrorsite.standard_streams import OutputError


class FullOutput(StringIO):
    """Takes text into its buffer, as standard output does, and fails to flush it."""

    def flush(self) -> None:
        raise OutputError("the output cannot be written: No space left on device")


def run_into(
    kind: str, command: Sequence[str], *, stream: str = "stdout", **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command whose `stream` cannot be written; capture the other one.

    `kind` is "full", "broken pipe" or "closed".
    """
    if kind == "closed":
        number = {"stdout": 1, "stderr": 2}[stream]
        command = ["sh", "-c", f'exec "$@" {number}>&-', "sh", *command]
    if kind == "broken pipe":
        reader, output = os.pipe()
        os.close(reader)
    else:
        output = os.open("/dev/full", os.O_WRONLY)
    try:
        return subprocess.run(
            command,
            text=True,
            check=False,
            stdout=output if stream == "stdout" else subprocess.PIPE,
            stderr=output if stream == "stderr" else subprocess.PIPE,
            **options,
        )
    finally:
        os.close(output)
