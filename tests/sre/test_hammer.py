"""./sre/hammer with one fault of each kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from sre.chaos.faults import FAULTS
from tests.support import ROOT

pytestmark = pytest.mark.service


def hammer(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sre.chaos.hammer", "--json", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_lost() -> None:
    done = hammer(f"--faults={len(FAULTS)}", "--clients=8")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["faults"] == dict.fromkeys(sorted(FAULTS), 1)
    assert report["kept"] == report["answers"]["201"] > 0
    assert (report["lost"], report["untruthful"], report["audit"]) == ([], {}, "clean")


def test_service_does_not_start__says_why() -> None:
    done = hammer(GUNICORN_CMD_ARGS="--no-such-option")
    assert done.returncode == 2
    assert "unrecognized arguments: --no-such-option" in done.stderr
    assert "sre/hammer could not run: the service did not start" in done.stderr
