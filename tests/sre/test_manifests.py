"""The rights that installing a plan's Kubernetes objects needs."""

from __future__ import annotations

from typing import Any

import pytest

from sre.lib.manifests import manifests, missing_rights

DEPLOYMENT = """
manifests:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: mirrorsite}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: mirrorsite-web}
"""
RESOURCES: list[dict[str, Any]] = [
    {"type": "helm_release", "values": {"values": [DEPLOYMENT]}},
    # Another chart's release has values of its own.
    {"type": "helm_release", "values": {"values": ["replicas: 1\n"]}},
    {"type": "kubernetes_pod_v1"},
]
PLAN: dict[str, Any] = {
    "planned_values": {
        "root_module": {
            "child_modules": [
                {"resources": [{"mode": "managed", **it} for it in RESOURCES]}
            ]
        }
    }
}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def rule(group: str, *resources: str, verbs: list[str] = VERBS) -> dict[str, Any]:
    return {"api_groups": [group], "resources": list(resources), "verbs": verbs}


#: A Helm release is itself a Secret.
RULES = [rule("", "secrets", "pods"), rule("apps", "deployments")]
POLICIES = "networking.k8s.io", "networkpolicies"


def test_manifests__of_our_chart_only():
    assert [it["kind"] for it in manifests(PLAN)] == ["Deployment", "NetworkPolicy"]


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        ([*RULES, rule(*POLICIES)], []),
        (
            RULES,
            ["networking.k8s.io/networkpolicies: create, delete, get, patch, update"],
        ),
        (
            [*RULES, rule(*POLICIES, verbs=["get", "create"])],
            ["networking.k8s.io/networkpolicies: delete, patch, update"],
        ),
        (
            [rule("", "pods"), *RULES[1:], rule(*POLICIES)],
            ["core/secrets: create, delete, get, patch, update"],
        ),
    ],
    ids=["enough", "kind", "verb", "secrets"],
)
def test_missing_rights(rules, missing):
    assert missing_rights(PLAN, rules) == missing
