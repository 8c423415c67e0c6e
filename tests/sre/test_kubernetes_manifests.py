"""Manifests written back from Terraform's plans."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sre.lib import kubernetes_manifests as manifests

POD: dict[str, Any] = {
    "automountServiceAccountToken": False,
    "securityContext": {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "containers": [
        {
            "name": "web",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "resources": {
                "requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"memory": "64Mi"},
            },
        }
    ],
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}


def one(block: dict[str, Any]) -> dict[str, Any]:
    return {"nesting_mode": "list", "max_items": 1, "block": block}


def many(block: dict[str, Any]) -> dict[str, Any]:
    return {"nesting_mode": "list", "block": block}


class TestCamelCase:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("image", "image"),
            ("run_as_user", "runAsUser"),
            ("fs_group_change_policy", "fsGroupChangePolicy"),
            ("cluster_ip", "clusterIP"),
            ("timezone", "timeZone"),
        ],
    )
    def test_spells_as_the_api_does(self, name: str, expected: str) -> None:
        assert manifests.camel_case(name) == expected


class TestConvertBlock:
    def test_repeated_blocks_become_the_plural(self) -> None:
        block = {"block_types": {"container": many({"attributes": {"name": {}}})}}
        values = {"container": [{"name": "a"}, {"name": "b"}]}
        assert manifests.convert_block(block, values) == {
            "containers": [{"name": "a"}, {"name": "b"}]
        }

    def test_a_block_given_once_becomes_an_object(self) -> None:
        block = {"block_types": {"security_context": one({})}}
        values = {"security_context": [{"run_as_user": "10001"}]}
        assert manifests.convert_block(block, values) == {
            "securityContext": {"runAsUser": 10001}
        }

    def test_an_unlimited_block_that_the_api_has_once_becomes_an_object(self) -> None:
        block = {"block_types": {"pre_stop": many({})}}
        assert manifests.convert_block(block, {"pre_stop": [{"x": 1}]}) == {
            "preStop": {"x": 1}
        }

    def test_refuses_to_drop_a_second_object(self) -> None:
        block = {"block_types": {"pre_stop": many({})}}
        with pytest.raises(manifests.ManifestError, match="pre_stop is given 2 times"):
            manifests.convert_block(block, {"pre_stop": [{}, {}]})

    def test_an_empty_block_is_kept_and_an_absent_one_is_not(self) -> None:
        block = {"block_types": {"pod_selector": one({}), "ingress": many({})}}
        values: dict[str, Any] = {
            "pod_selector": [{"match_labels": None}],
            "ingress": [],
        }
        assert manifests.convert_block(block, values) == {"podSelector": {}}

    def test_leaves_out_what_is_not_set_but_keeps_false_and_zero(self) -> None:
        values: dict[str, Any] = {"a": None, "b": "", "c": [], "d": False, "e": 0}
        assert manifests.convert_block({}, values) == {"d": False, "e": 0}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [("4545", 4545), ("http", "http"), ("25%", "25%"), ("-1", -1)],
    )
    def test_ports_are_numbers_or_names(self, value: str, expected: object) -> None:
        assert manifests.convert_block({}, {"port": value}) == {"port": expected}

    def test_other_strings_of_digits_stay_strings(self) -> None:
        assert manifests.convert_block({}, {"value": "4545"}) == {"value": "4545"}


class TestManifest:
    schemas = {
        "kubernetes_secret_v1": {"block": {"block_types": {"metadata": one({})}}},
        "kubernetes_config_map_v1": {"block": {"block_types": {"metadata": one({})}}},
    }

    def test_drops_what_the_cluster_fills_in_and_what_is_terraforms(self) -> None:
        resource = {
            "address": "kubernetes_config_map_v1.this",
            "type": "kubernetes_config_map_v1",
            "values": {
                "id": "a/b",
                "data": {"A": "1"},
                "metadata": [
                    {"name": "b", "namespace": "a", "uid": "u", "generation": 1}
                ],
            },
        }
        assert manifests.manifest(resource, self.schemas) == {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "data": {"A": "1"},
            "metadata": {"name": "b", "namespace": "a"},
        }

    def test_a_secret_in_clear_is_string_data(self) -> None:
        resource = {
            "address": "kubernetes_secret_v1.this",
            "type": "kubernetes_secret_v1",
            "values": {"metadata": [{"name": "a"}], "data": {"A": "clear"}},
        }
        document = manifests.manifest(resource, self.schemas)
        assert document["stringData"] == {"A": "clear"}
        assert "data" not in document

    def test_refuses_a_type_it_does_not_know(self) -> None:
        resource = {
            "address": "kubernetes_pod.x",
            "type": "kubernetes_pod",
            "values": {},
        }
        with pytest.raises(
            manifests.ManifestError, match="no API kind known for kubernetes_pod"
        ):
            manifests.manifest(resource, {})


class TestRender:
    def test_finds_resources_in_nested_modules_and_leaves_data_out(self) -> None:
        item = {
            "mode": "managed",
            "type": "kubernetes_config_map_v1",
            "values": {"metadata": [{"name": "x"}]},
        }
        plan = {
            "planned_values": {
                "root_module": {
                    "resources": [
                        {**item, "address": "a"},
                        {**item, "address": "data.a", "mode": "data"},
                        {**item, "address": "aws", "type": "aws_s3_bucket"},
                    ],
                    "child_modules": [
                        {"child_modules": [{"resources": [{**item, "address": "b"}]}]}
                    ],
                }
            }
        }
        schemas = {
            "provider_schemas": {
                "example/hashicorp/kubernetes": {
                    "resource_schemas": TestManifest.schemas
                }
            }
        }
        assert sorted(manifests.render(plan, schemas)) == ["a", "b"]

    def test_says_when_the_provider_is_not_used(self) -> None:
        with pytest.raises(
            manifests.ManifestError, match="does not use the Kubernetes provider"
        ):
            manifests.provider_schemas({"provider_schemas": {}})


class TestHouseViolations:
    def deployment(self, pod: dict[str, Any], name: str = "web") -> dict[str, Any]:
        return {
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"template": {"spec": pod}},
        }

    def test_accepts_a_restricted_pod(self) -> None:
        assert manifests.house_violations(self.deployment(POD)) == []

    def test_looks_into_cron_jobs(self) -> None:
        document = {
            "kind": "CronJob",
            "metadata": {"name": "x"},
            "spec": {
                "jobTemplate": {
                    "spec": {"template": {"spec": {**POD, "hostNetwork": True}}}
                }
            },
        }
        assert manifests.house_violations(document) == ["hostNetwork is set"]

    @pytest.mark.parametrize(
        ("path", "value", "expected"),
        [
            (("hostPID",), True, "hostPID is set"),
            (
                ("volumes",),
                [{"name": "x", "hostPath": {"path": "/"}}],
                "volume x is a hostPath",
            ),
            (
                ("automountServiceAccountToken",),
                None,
                "mounts the service account's token",
            ),
            (
                ("securityContext", "runAsNonRoot"),
                False,
                "web: runAsNonRoot is not true",
            ),
            (("securityContext", "runAsUser"), 0, "web: runs as root"),
            (("securityContext", "seccompProfile"), {}, "web: no seccomp profile"),
            (
                ("containers", 0, "securityContext", "allowPrivilegeEscalation"),
                None,
                "web: allowPrivilegeEscalation is not false",
            ),
            (
                ("containers", 0, "securityContext", "privileged"),
                True,
                "web: privileged",
            ),
            (
                ("containers", 0, "securityContext", "capabilities"),
                {},
                "web: does not drop all capabilities",
            ),
            (
                ("containers", 0, "securityContext", "capabilities", "add"),
                ["SYS_ADMIN"],
                "web: adds capabilities",
            ),
            (
                ("containers", 0, "securityContext", "readOnlyRootFilesystem"),
                False,
                "web: root file system can be written",
            ),
            (("containers", 0, "ports"), [{"hostPort": 80}], "web: uses host port 80"),
            (
                ("containers", 0, "resources", "requests"),
                {"cpu": "1"},
                "web: no requests for cpu and memory",
            ),
            (("containers", 0, "resources", "limits"), {}, "web: no limit of memory"),
        ],
    )
    def test_names_each_fault(
        self, path: tuple[Any, ...], value: object, expected: str
    ) -> None:
        pod = copy.deepcopy(POD)
        target: Any = pod
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value
        assert manifests.house_violations(self.deployment(pod)) == [expected]

    @pytest.mark.parametrize("name", ["", "Upper", "a_b", "-a", "a" * 64])
    def test_refuses_a_name_the_cluster_would_refuse(self, name: str) -> None:
        assert manifests.house_violations(self.deployment(POD, name)) == [
            f"{name!r} is no name of at most 63 characters"
        ]
