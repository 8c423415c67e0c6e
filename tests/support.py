"""What tests of every kind use: the project's folder, and programs that run to their end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def run_program(
    command: Sequence[Any], **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a program in the project's folder; capture what it prints."""
    given: dict[str, Any] = {"cwd": ROOT, "capture_output": True, "check": False}
    return subprocess.run(command, text=True, **given | options)


def manage(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run manage.py in this environment, or in the tests' own."""
    return run_program(
        [sys.executable, "manage.py", *arguments],
        env=os.environ if environment is None else environment,
    )
