"""./sre/bench: its tables, and short runs of scenarios."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from sre.benchmarks.report import Budget, Table
from tests.support import ROOT


class TestTable:
    @pytest.fixture
    def table(self) -> Table:
        table = Table("uploads", ("requests/s", "p50 ms"))
        for ours, theirs in ((100, 50), (300, 100), (200, 200)):
            table.add("ours", ours, 1)
            table.add("theirs", theirs, 2)
            table.add("broken", 900, 1)
        table.disqualified["broken"] = "2 errors"
        return table

    def test_markdown__medians_and_spread(self, table: Table) -> None:
        assert table.markdown().splitlines()[2:] == [
            "| ours | 200 (100–300) | 1 |",
            "| theirs | 100 (50–200) | 2 |",
            "| broken | disqualified: 2 errors |  |",
        ]

    def test_ratio__of_the_same_round(self, table: Table) -> None:
        assert table.ratio("requests/s", "ours", "theirs") == 2
        assert table.ratio("requests/s", "ours", "broken") is None
        assert table.ratio("requests/s", "ours", "absent") is None


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [
        (Budget("a / b", 2.5, 2), "| at least 2 | 2.50 | met |"),
        (Budget("a / b", 1.5, 2), "| at least 2 | 1.50 | NOT MET |"),
        (Budget("a / b", 0.05, 0.6, True), "| at most 0.60 | 0.050 | met |"),
        (Budget("a / b", None, 2), "| at least 2 |  | not measured |"),
    ],
)
def test_budget(budget: Budget, verdict: str) -> None:
    assert budget.markdown() == f"| a / b {verdict}"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sre.benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.service
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_scenarios__run() -> None:
    done = bench(
        *("uploads", "reconcile"),
        *("--only=mirrorsite", "--rounds=1", "--seconds=1", "--count=100"),
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| mirrorsite \| [1-9]", done.stdout, re.M), done.stdout
    budget = r"^\| reconcile_uploads / aws .* at most 0\.60 \| [\d.]+ \|"
    assert re.search(budget, done.stdout, re.M), done.stdout


def test_list__what_is_measured() -> None:
    named = [line.split()[0] for line in bench("--list").stdout.splitlines()]
    wanted = "health mirror uploads payload growth audit reconcile admin profile"
    assert named == wanted.split()


def test_unknown_scenario__named() -> None:
    done = bench("upload")
    assert done.returncode == 2
    assert "no scenario upload; see --list" in done.stderr
