"""The hammer itself, short; two minutes of it are in docs/performance.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.service
def test_hammer__nothing_lost() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sre.lib.hammering", "--json"),
            *("--seconds", "8", "--clients", "8"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["held"] is True
    assert report["lost"] == 0
    assert report["answers"]["201"] > 0
    assert sum(report["faults"].values()) > 0


@pytest.mark.service
def test_hammer__service_does_not_start__says_why() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sre.lib.hammering", "--seconds", "1"],
        cwd=ROOT,
        env={**os.environ, "GUNICORN_CMD_ARGS": "--no-such-option"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "unrecognized arguments: --no-such-option" in done.stderr
    assert "sre/hammer could not run: the service did not start" in done.stderr
