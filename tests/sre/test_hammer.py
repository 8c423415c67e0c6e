"""./sre/hammer with a few faults, other ones in each run; its seed is printed."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support import run_program


@pytest.mark.service
def test_nothing_lost():
    options = ["--faults=3", "--clients=8"]
    done = run_program([sys.executable, "-m", "sre.chaos.hammer", *options])
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert sum(report["faults"].values()) == 3
    assert report["kept"] == report["answers"]["201"] > 0
    assert (report["lost"], report["untruthful"], report["audit"]) == ([], {}, "clean")
