"""What tests of every kind use: the project's folder, programs, requests."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
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


def path_with_aws(directory: Path) -> str:
    """Return a PATH with the environment's programs and, in `directory`, the AWS CLI.

    Its own script cannot start if the environment's path has a space.
    """
    directory.mkdir(exist_ok=True)
    script = directory / "aws"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m awscli "$@"\n')
    script.chmod(0o755)
    return f"{directory}:{sys.prefix}/bin:{os.environ['PATH']}"


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    """Send a request to a running service; return status, headers and body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
