"""Alert rules and dashboard ask for metrics that exist; promtool agrees where it is."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import yaml

from mirrorsite import metrics, metrics_server
from tests.support import ROOT, run_program

FOLDER = ROOT / "sre" / "monitoring"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bmirrorsite_[a-z_]+", text))


def existing() -> set[str]:
    names = {"mirrorsite_database_up", *metrics_server._HELP}
    for counter in (metrics.UPLOADS, metrics.UPLOAD_BYTES):
        names.add(f"{counter._name}_total")
    for histogram in (metrics.REQUEST_SECONDS, metrics.STORE_SECONDS):
        names |= {f"{histogram._name}_{end}" for end in ("bucket", "count")}
    return names


def test_alerts__of_existing_metrics_and_each_tested():
    tested = (FOLDER / "alerts_test.yaml").read_text()
    for rule in RULES:
        assert names_in(rule["expr"]) <= existing(), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "action"}
        assert f'alertname="{rule["alert"]}"' in tested, rule["alert"]


def test_dashboard__shows_every_metric_and_no_other():
    queries = [it["expr"] for panel in DASHBOARD["panels"] for it in panel["targets"]]
    assert all(names_in(query) <= existing() for query in queries)
    assert existing() <= names_in(json.dumps(DASHBOARD))


@pytest.mark.parametrize(
    "arguments", ["check rules alerts.yaml", "test rules alerts_test.yaml"]
)
def test_promtool(arguments):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = run_program([promtool, *arguments.split()], cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
