"""./sre/bench: its tables, and a short run."""

from __future__ import annotations

import re
import shutil
import sys

import pytest

from sre.benchmarks.report import Budget, Table
from tests.support import run_program


def test_table__medians_spread_and_ratio_of_the_same_round():
    table = Table("uploads", ("requests/s", "p50 ms"))
    for ours, theirs in ((100, 50), (300, 100), (200, 200)):
        table.add("ours", ours, 1)
        table.add("theirs", theirs, 2)
        table.add("broken", 900, 1)
    table.disqualified["broken"] = "2 errors"
    assert table.markdown().splitlines()[2:] == [
        "| ours | 200 (100–300) | 1 |",
        "| theirs | 100 (50–200) | 2 |",
        "| broken | disqualified: 2 errors |  |",
    ]
    assert table.ratio("requests/s", "ours", "theirs") == 2
    assert table.ratio("requests/s", "ours", "broken") is None
    assert table.ratio("requests/s", "ours", "absent") is None


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [
        (Budget("a / b", 2.5, 2), "| at least 2 | 2.50 | met |"),
        (Budget("a / b", 1.5, 2), "| at least 2 | 1.50 | NOT MET |"),
        (Budget("a / b", 0.05, 0.6, is_maximum=True), "| at most 0.60 | 0.050 | met |"),
        (Budget("a / b", None, 2), "| at least 2 |  | not measured |"),
    ],
)
def test_budget(budget, verdict):
    assert budget.markdown() == f"| a / b {verdict}"


@pytest.mark.service
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_uploads():
    options = ["--only=mirrorsite", "--rounds=1", "--seconds=1"]
    command = [sys.executable, "-m", "sre.benchmarks", "uploads", *options]
    done = run_program(command)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| mirrorsite \| [1-9]", done.stdout, re.M), done.stdout
