"""Turn a Terraform plan into the manifests its Kubernetes resources stand for.

Terraform's resources spell the API's fields their own way (``volume_mount`` blocks
for ``volumeMounts``, numbers as strings). Written back as manifests they can be
held against the API's published schemas, where a misspelt, misplaced or unknown
field fails, and against the rules a restricted namespace admits pods by.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

KINDS = {
    "kubernetes_cluster_role_binding_v1": (
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
    ),
    "kubernetes_cluster_role_v1": ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    "kubernetes_config_map_v1": ("v1", "ConfigMap"),
    "kubernetes_cron_job_v1": ("batch/v1", "CronJob"),
    "kubernetes_deployment_v1": ("apps/v1", "Deployment"),
    "kubernetes_horizontal_pod_autoscaler_v2": (
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
    ),
    "kubernetes_job_v1": ("batch/v1", "Job"),
    "kubernetes_namespace_v1": ("v1", "Namespace"),
    "kubernetes_network_policy_v1": ("networking.k8s.io/v1", "NetworkPolicy"),
    "kubernetes_pod_disruption_budget_v1": ("policy/v1", "PodDisruptionBudget"),
    "kubernetes_role_binding_v1": ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    "kubernetes_role_v1": ("rbac.authorization.k8s.io/v1", "Role"),
    "kubernetes_secret_v1": ("v1", "Secret"),
    "kubernetes_service_account_v1": ("v1", "ServiceAccount"),
    "kubernetes_service_v1": ("v1", "Service"),
    "kubernetes_stateful_set_v1": ("apps/v1", "StatefulSet"),
}
# Where the provider repeats a block, the API has one list under the plural.
PLURALS = {
    "container": "containers",
    "http_header": "httpHeaders",
    "image_pull_secret": "imagePullSecrets",
    "init_container": "initContainers",
    "metric": "metrics",
    "port": "ports",
    "rule": "rules",
    "subject": "subjects",
    "toleration": "tolerations",
    "topology_spread_constraint": "topologySpreadConstraints",
    "volume": "volumes",
    "volume_claim_template": "volumeClaimTemplates",
    "volume_mount": "volumeMounts",
}
# Single objects of the API that the provider's schema does not limit to one.
SINGLE = {
    "config_map",
    "grpc",
    "label_selector",
    "metadata",
    "namespace_selector",
    "persistent_volume_claim_retention_policy",
    "post_start",
    "pre_stop",
    "projected",
    "rolling_update",
    "scale_down",
    "scale_up",
    "secret",
    "tcp_socket",
    "update_strategy",
}
# Names of which the camel case is not the API's.
SPELLINGS = {
    "cluster_ip": "clusterIP",
    "non_resource_urls": "nonResourceURLs",
    "timezone": "timeZone",
}
# Strings for the provider, numbers (or "numbers or names") for the API.
NUMBERS = {
    "fs_group",
    "max_surge",
    "max_unavailable",
    "min_available",
    "port",
    "replicas",
    "run_as_group",
    "run_as_user",
    "target_port",
    "toleration_seconds",
}
# Filled in by the cluster, or Terraform's own.
NOT_IN_METADATA = {"generate_name", "generation", "resource_version", "uid"}
NOT_IN_MANIFEST = {
    "binary_data_wo",
    "binary_data_wo_revision",
    "data_wo",
    "data_wo_revision",
    "default_secret_name",
    "id",
    "timeouts",
    "wait_for_completion",
    "wait_for_default_service_account",
    "wait_for_load_balancer",
    "wait_for_rollout",
    "wait_for_service_account_token",
}
MAX_NAME = {"CronJob": 52}
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


class ManifestError(Exception):
    """A resource cannot be written as a manifest."""


def camel_case(name: str) -> str:
    """Spell a Terraform name the way the API does."""
    if name in SPELLINGS:
        return SPELLINGS[name]
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def planned_resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the resources of a plan's module and of all modules in it."""
    yield from (
        item for item in module.get("resources", []) if item["mode"] == "managed"
    )
    for child in module.get("child_modules", []):
        yield from planned_resources(child)


def _number(value: Any) -> Any:
    return (
        int(value)
        if isinstance(value, str) and re.fullmatch(r"-?\d+", value)
        else value
    )


def convert_block(block: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Write the values of one block, described by its schema, as the API's object."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        nested = block.get("block_types", {}).get(name)
        if nested is None:
            if value is not None and value not in ([], ""):
                result[camel_case(name)] = _number(value) if name in NUMBERS else value
            continue
        if not value:
            continue
        inner = nested["block"]
        if nested["nesting_mode"] == "single":
            result[camel_case(name)] = convert_block(inner, value)
        elif nested.get("max_items") == 1 or name in SINGLE:
            if len(value) > 1:
                raise ManifestError(
                    f"{name} is given {len(value)} times, the API takes one"
                )
            # An empty block is an empty object: {} selects all pods, none is no selector.
            result[camel_case(name)] = convert_block(inner, value[0] or {})
        else:
            result[PLURALS.get(name, camel_case(name))] = [
                convert_block(inner, item or {}) for item in value
            ]
    return result


def manifest(resource: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Write one planned resource as a manifest."""
    kind = resource["type"]
    if kind not in KINDS:
        raise ManifestError(f"{resource['address']}: no API kind known for {kind}")
    api_version, api_kind = KINDS[kind]
    values = {
        key: value
        for key, value in resource["values"].items()
        if key not in NOT_IN_MANIFEST
    }
    body = convert_block(schemas[kind]["block"], values)
    _strip_metadata(body)
    if api_kind == "Secret" and "data" in body:
        # Terraform's is in clear, the API's in base64.
        body["stringData"] = body.pop("data")
    return {"apiVersion": api_version, "kind": api_kind, **body}


def _strip_metadata(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _strip_metadata(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "metadata" and isinstance(item, dict):
                for name in NOT_IN_METADATA:
                    item.pop(camel_case(name), None)
            else:
                _strip_metadata(item)


def pod_specs(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the pod specification of a workload, if it is one."""
    spec = document.get("spec", {})
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if document["kind"] in {"CronJob", "Job", "Deployment", "StatefulSet"}:
        yield spec["template"]["spec"]


def restricted_violations(pod: dict[str, Any]) -> list[str]:
    """Say why a namespace with restricted pod security would refuse the pod."""
    found = []
    context = pod.get("securityContext", {})
    found += [
        f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)
    ]
    found += [
        f"volume {volume['name']} is a {kind}"
        for volume in pod.get("volumes", [])
        for kind in set(volume) - {"name"}
        if kind not in RESTRICTED_VOLUMES
    ]
    for container in [*pod.get("containers", []), *pod.get("initContainers", [])]:
        name = container["name"]
        own = container.get("securityContext", {})
        if own.get("privileged"):
            found.append(f"{name}: privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(f"{name}: allowPrivilegeEscalation is not false")
        if own.get("runAsNonRoot", context.get("runAsNonRoot")) is not True:
            found.append(f"{name}: runAsNonRoot is not true")
        if own.get("runAsUser", context.get("runAsUser")) == 0:
            found.append(f"{name}: runs as root")
        profile = own.get("seccompProfile", context.get("seccompProfile", {}))
        if profile.get("type") not in {"RuntimeDefault", "Localhost"}:
            found.append(f"{name}: no seccomp profile")
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []):
            found.append(f"{name}: does not drop all capabilities")
        if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            found.append(f"{name}: adds capabilities")
        found += [
            f"{name}: uses host port {port['hostPort']}"
            for port in container.get("ports", [])
            if port.get("hostPort")
        ]
    return found


def house_violations(document: dict[str, Any]) -> list[str]:
    """Say what breaks this project's own rules, beyond the cluster's."""
    found = []
    name = document["metadata"].get("name", "")
    limit = MAX_NAME.get(document["kind"], 63)
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) or len(name) > limit:
        found.append(f"{name!r} is no name of at most {limit} characters")
    for pod in pod_specs(document):
        found += restricted_violations(pod)
        if pod.get("automountServiceAccountToken") is not False:
            found.append("mounts the service account's token")
        for container in pod["containers"]:
            if (
                container.get("securityContext", {}).get("readOnlyRootFilesystem")
                is not True
            ):
                found.append(f"{container['name']}: root file system can be written")
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= set(resources.get("requests", {})):
                found.append(f"{container['name']}: no requests for cpu and memory")
            if "memory" not in resources.get("limits", {}):
                found.append(f"{container['name']}: no limit of memory")
    return found


def provider_schemas(schemas: dict[str, Any]) -> dict[str, Any]:
    """Pick the Kubernetes provider's resources from ``terraform providers schema``."""
    for address, schema in schemas["provider_schemas"].items():
        if address.endswith("/hashicorp/kubernetes"):
            resources: dict[str, Any] = schema["resource_schemas"]
            return resources
    raise ManifestError("the configuration does not use the Kubernetes provider")


def render(plan: dict[str, Any], schemas: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the manifests of a plan by the address of their resource."""
    resources = provider_schemas(schemas)
    return {
        item["address"]: manifest(item, resources)
        for item in planned_resources(plan["planned_values"]["root_module"])
        if item["type"].startswith("kubernetes_")
    }


def schema_violations(document: dict[str, Any], version: str) -> list[str]:
    """Hold a manifest against the API's schema of one version of Kubernetes."""
    # Not needed, and not there, where only the pure functions are tested.
    kubernetes_validate: Any = importlib.import_module("kubernetes_validate")

    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as exc:
        where = ".".join(str(part) for part in exc.absolute_path)
        return [f"Kubernetes {version}: {where}: {exc.message}"]
    return []


def main(argv: list[str] | None = None) -> int:
    """Render a plan's manifests, write them down and check them."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("plan", type=Path, help="output of `terraform show -json PLAN`")
    parser.add_argument(
        "schemas", type=Path, help="output of `terraform providers schema -json`"
    )
    parser.add_argument("output", type=Path, help="directory for the manifests")
    parser.add_argument(
        "--kubernetes",
        action="append",
        default=[],
        help="version to check against, as in 1.36",
    )
    options = parser.parse_args(argv)
    documents = render(
        json.loads(options.plan.read_text(encoding="utf-8")),
        json.loads(options.schemas.read_text(encoding="utf-8")),
    )
    options.output.mkdir(parents=True, exist_ok=True)
    problems = [] if documents else ["the plan holds no Kubernetes resource"]
    for address, document in documents.items():
        path = (
            options.output / f"{re.sub(r'[^A-Za-z0-9]+', '-', address).strip('-')}.json"
        )
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        found = house_violations(document)
        for version in options.kubernetes:
            found += schema_violations(document, version)
        problems += [f"{address}: {text}" for text in found]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{len(documents)}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
