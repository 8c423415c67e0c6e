"""The Kubernetes objects that a Terraform plan installs, and checks of them.

They are values of the plan's Helm releases (terraform/modules/k8s/manifests).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

#: API groups whose schemas are not part of Kubernetes.
_CUSTOM_GROUPS = ("eks.amazonaws.com/", "external-secrets.io/")
#: API group and resource of what Terraform creates itself.
_OWN = {
    "kubernetes_config_map_v1": ("", "configmaps"),
    "kubernetes_pod_v1": ("", "pods"),
    "kubernetes_secret_v1": ("", "secrets"),
    "kubernetes_service_account_v1": ("", "serviceaccounts"),
    "kubernetes_service_v1": ("", "services"),
}
_CHANGING = {"create", "delete", "get", "patch", "update"}


def resources(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the managed resources of a plan (`terraform show -json`)."""
    modules = [plan["planned_values"]["root_module"]]
    while modules:
        module = modules.pop()
        modules += module.get("child_modules", [])
        yield from (r for r in module.get("resources", []) if r["mode"] == "managed")


def manifests(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of every release of modules/k8s/manifests."""
    found = []
    for resource in resources(plan):
        if resource["type"] == "helm_release":
            for text in resource["values"]["values"] or []:
                found += yaml.safe_load(text).get("manifests", [])
    return found


def schema_faults(manifest: dict[str, Any], versions: Iterable[str]) -> list[str]:
    """Return what the API's schemas refuse, including unknown fields."""
    if manifest["apiVersion"].startswith(_CUSTOM_GROUPS):
        return []
    kubernetes_validate: Any = importlib.import_module("kubernetes_validate")
    found = []
    for version in versions:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(part) for part in error.absolute_path)
            name = f"{manifest['kind']}/{manifest['metadata']['name']}"
            found.append(f"{name}, Kubernetes {version}: {where}: {error.message}")
    return found


def missing_rights(plan: dict[str, Any], rules: list[dict[str, Any]]) -> list[str]:
    """Return the rights that applying `plan` needs and a role with `rules` lacks.

    `rules` are those of a planned `kubernetes_role_v1`.
    """
    # A Helm release is itself a Secret.
    wanted = {("", "secrets")}
    wanted |= {_OWN[r["type"]] for r in resources(plan) if r["type"] in _OWN}
    for manifest in manifests(plan):
        group, _, _ = manifest["apiVersion"].rpartition("/")
        kind = manifest["kind"].lower()
        plural = kind[:-1] + "ies" if kind.endswith("y") else kind + "s"
        wanted.add((group, plural))
    missing = []
    for group, resource in sorted(wanted):
        allowed = {
            verb
            for rule in rules
            if group in rule["api_groups"] and resource in rule["resources"]
            for verb in rule["verbs"]
        }
        if lacking := _CHANGING - allowed:
            missing.append(
                f"{group or 'core'}/{resource}: {', '.join(sorted(lacking))}"
            )
    return missing
