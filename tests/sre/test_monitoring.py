"""Alert rules and dashboard ask for metrics that exist; promtool agrees where it is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mirrorsite import metrics, metrics_server

FOLDER = Path(__file__).resolve().parent.parent.parent / "sre" / "monitoring"
_NAME = re.compile(r"\bmirrorsite_[a-z_]+")
_HISTOGRAMS = (metrics.REQUEST_SECONDS, metrics.STORE_SECONDS)


def existing() -> set[str]:
    names = {"mirrorsite_database_up", *metrics_server._HELP}
    for counter in (metrics.UPLOADS, metrics.UPLOAD_BYTES):
        names.add(f"{counter._name}_total")
    for histogram in _HISTOGRAMS:
        names |= {f"{histogram._name}_{end}" for end in ("bucket", "count", "sum")}
    return names


class TestAlerts:
    RULES = [
        rule
        for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
        for rule in group["rules"]
    ]

    def test_metrics_exist(self) -> None:
        for rule in self.RULES:
            assert set(_NAME.findall(rule["expr"])) <= existing(), rule["alert"]

    def test_each_says_what_to_do_and_is_tested(self) -> None:
        tested = (FOLDER / "alerts_test.yaml").read_text()
        for rule in self.RULES:
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert rule["annotations"].keys() == {"summary", "action"}
            assert tested.count(f"alertname: {rule['alert']}\n") == 1, rule["alert"]

    def test_promtool(self) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            pytest.skip("promtool is not installed (Debian: prometheus)")
        for command in (
            ("check", "rules", "alerts.yaml"),
            ("test", "rules", "alerts_test.yaml"),
        ):
            done = subprocess.run(
                [promtool, *command],
                cwd=FOLDER,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr


class TestDashboard:
    DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())

    def test_queries__existing_metrics(self) -> None:
        queries = [
            target["expr"]
            for panel in self.DASHBOARD["panels"]
            for target in panel["targets"]
        ]
        assert len(queries) >= 12
        for query in queries:
            names = set(_NAME.findall(query))
            assert names, query
            assert names <= existing(), query

    def test_every_metric_is_shown(self) -> None:
        shown = set(_NAME.findall(json.dumps(self.DASHBOARD)))
        without_sums = {name for name in existing() if not name.endswith("_sum")}
        assert without_sums <= shown
