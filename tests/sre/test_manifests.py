"""Kubernetes objects of a plan, and the rights that installing them needs."""

from __future__ import annotations

from typing import Any

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


def plan(*resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "planned_values": {
            "root_module": {
                "child_modules": [
                    {"resources": [{"mode": "managed", **it} for it in resources]}
                ]
            }
        }
    }


RELEASE = {"type": "helm_release", "values": {"values": [DEPLOYMENT]}}
#: Another chart's release has values of its own.
OTHER = {"type": "helm_release", "values": {"values": ["replicas: 1\n"]}}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def rule(group: str, *resources: str, verbs: list[str] = VERBS) -> dict[str, Any]:
    return {"api_groups": [group], "resources": list(resources), "verbs": verbs}


def test_manifests__of_our_chart_only() -> None:
    found = manifests(plan(RELEASE, OTHER))
    assert [item["kind"] for item in found] == ["Deployment", "NetworkPolicy"]


class TestMissingRights:
    RULES = (
        rule("", "secrets", "pods"),
        rule("apps", "deployments"),
        rule("networking.k8s.io", "networkpolicies"),
    )

    def test_enough(self) -> None:
        wanted = plan(RELEASE, {"type": "kubernetes_pod_v1"})
        assert missing_rights(wanted, list(self.RULES)) == []

    def test_a_kind_that_is_not_named(self) -> None:
        assert missing_rights(plan(RELEASE), list(self.RULES[:2])) == [
            "networking.k8s.io/networkpolicies: create, delete, get, patch, update"
        ]

    def test_a_verb_that_is_lacking(self) -> None:
        rules = [
            *self.RULES[:2],
            rule("networking.k8s.io", "networkpolicies", verbs=["get", "create"]),
        ]
        assert missing_rights(plan(RELEASE), rules) == [
            "networking.k8s.io/networkpolicies: delete, patch, update"
        ]

    def test_release__is_a_secret(self) -> None:
        assert missing_rights(plan(), []) == [
            "core/secrets: create, delete, get, patch, update"
        ]
