"""What tests of every kind use: the project's folder, and manage.py as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def manage(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run manage.py in this environment, or in the tests' own; capture what it prints."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ if environment is None else environment,
        capture_output=True,
        text=True,
        check=False,
    )
