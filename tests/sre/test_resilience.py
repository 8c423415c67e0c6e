"""What the runbook says of lost nodes and zones is what Terraform sets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent.parent
TERRAFORM = ROOT / "terraform"
DEPLOYMENT = TERRAFORM / "modules" / "k8s" / "deployment"


def section(heading: str) -> str:
    text = (ROOT / "docs" / "runbook.md").read_text()
    return text.split(f"## {heading}\n")[1].split("\n## ")[0]


def flat(path: str) -> str:
    """Return a file with each run of blanks as one, as fmt aligns them."""
    return re.sub(r"[ \t]+", " ", (TERRAFORM / path).read_text())


@pytest.mark.parametrize(
    ("heading", "word", "path", "setting"),
    [
        ("A node is lost", "nlb-target-type", "eks/app/main.tf", 'nlb-target-type = "ip"'),
        ("A node is lost", "node_loss_toleration_seconds", "eks/app/main.tf", "node_loss_toleration_seconds = 30"),
        ("A node is lost", "min_replicas", "eks/app/variables.tf", "var.autoscaling.min_replicas >= 3"),
        ("A node is lost", "max_unavailable", "modules/k8s/deployment/scaling.tf", 'max_unavailable = "1"'),
        ("A node is lost", "preStop", "modules/k8s/deployment/main.tf", 'command = ["sleep", tostring(var.rollout.drain_seconds)]'),
        ("A node is lost", "60 s of `preStop`", "eks/app/main.tf", "drain_seconds = 60"),
        ("A node is lost", "pod-readiness-gate-inject", "eks/app/main.tf", '"eks.amazonaws.com/pod-readiness-gate-inject" = "enabled"'),
        ("A zone is lost", "DoNotSchedule", "eks/app/main.tf", 'zones = "DoNotSchedule"'),
        ("A zone is lost", "node_taints_policy", "modules/k8s/deployment/main.tf", 'node_taints_policy = "Honor"'),
        ("A zone is lost", "70 %", "eks/app/variables.tf", "target_percent = optional(number, 70)"),
        ("A zone is lost", "cross_zone", "eks/app/main.tf", "cross_zone.enabled=true"),
        ("A zone is lost", "zonal_shift_config", "eks/cluster/main.tf", "zonal_shift_config { enabled = true }"),
        ("A zone is lost", "multi_az", "eks/data/database.tf", "multi_az = true"),
        ("A zone is lost", "nat_per_zone", "eks/network/variables.tf", 'var.nat_per_zone || var.environment != "production"'),
    ],
)  # fmt: skip
def test_setting__named_and_there(
    heading: str, word: str, path: str, setting: str
) -> None:
    assert word in section(heading)
    text = re.sub(r"\s*\n\s*", " ", flat(path))
    assert setting in text


def test_liveness__does_not_ask_the_database() -> None:
    """Or a database that fails over would have every pod restarted."""
    text = (DEPLOYMENT / "main.tf").read_text()
    liveness = text.split("liveness_probe {")[1].split("readiness_probe {")[0]
    assert re.findall(r'path = "(.*)"', liveness) == ["/api/health"]
    readiness = text.split("readiness_probe {")[1]
    assert re.findall(r'path = "(.*)"', readiness)[0] == "/api/ready"


def test_grace__longer_than_what_it_covers() -> None:
    """The sleep of preStop counts against it, and then gunicorn's own 30 seconds."""
    text = (DEPLOYMENT / "main.tf").read_text()
    assert 'command = ["sleep", tostring(var.rollout.drain_seconds)]' in text
    after_it = re.findall(
        r"termination_grace_period_seconds = var\.rollout\.drain_seconds \+ (\d+)", text
    )
    assert int(after_it[0]) > settings.GRACEFUL_TIMEOUT_SECONDS


def test_load_balancer__keeps_the_connections_of_an_ending_pod() -> None:
    """For as long as the pod itself takes to end."""
    text = (TERRAFORM / "eks" / "app" / "main.tf").read_text()
    drain = int(re.findall(r"drain_seconds = (\d+)", text)[0])
    delay = int(re.findall(r"deregistration_delay\.timeout_seconds=(\d+)", text)[0])
    assert delay >= drain + settings.GRACEFUL_TIMEOUT_SECONDS
