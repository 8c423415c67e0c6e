"""Terraform's reference page, value files and lock files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mirrorsite.environment import VARIABLES
from sre.lib.terraform_docs import TERRAFORM, blocks, reference, roots

VALUES = sorted(
    path
    for pattern in ("vars/*.tfvars.json", "eks/*/vars/*.tfvars.json")
    for path in TERRAFORM.glob(pattern)
)


def test_reference__up_to_date() -> None:
    """Otherwise: python -m sre.lib.terraform_docs."""
    assert (TERRAFORM / "REFERENCE.md").read_text(encoding="utf-8") == reference()


def test_readme__every_directory() -> None:
    """Each root and module is in a table of a README."""
    text = "".join(
        (TERRAFORM / name).read_text() for name in ("README.md", "eks/README.md")
    )
    for directory in {path.parent for path in TERRAFORM.glob("*/**/versions.tf")}:
        assert f"`{directory.name}" in text or f"{directory.name}`" in text, directory


def test_eks__both_environments() -> None:
    named = {(p.parent.parent.name, p.name) for p in VALUES if "eks" in p.parts}
    assert named == {
        (root.name, f"{environment}.tfvars.json")
        for root in roots()
        if root.parent.name == "eks"
        for environment in ("staging", "production")
    }


@pytest.mark.parametrize("path", VALUES, ids=lambda p: str(p.relative_to(TERRAFORM)))
class TestValues:
    def test_known_to_the_root(self, path: Path) -> None:
        """Terraform only warns of an unknown name in such a file."""
        values = json.loads(path.read_text(encoding="utf-8"))
        variables = dict(blocks(path.parent.parent, "variable"))
        assert set(values) <= set(variables)
        secret = {name for name, body in variables.items() if "ephemeral" in body}
        assert not secret & set(values)
        environment = path.name.removesuffix(".tfvars.json")
        assert values.get("environment", environment) == environment

    def test_settings__known_to_the_service(self, path: Path) -> None:
        values = json.loads(path.read_text(encoding="utf-8"))
        assert set(values.get("settings", {})) <= set(VARIABLES)


def test_module__sets_what_the_service_reads() -> None:
    """Every name in the ConfigMap is a variable of the service, or libpq's."""
    text = (TERRAFORM / "modules/k8s/deployment/configuration.tf").read_text()
    environment = text[: text.index("database_ca_directory =")]
    names = set(re.findall(r"(?m)^ +([A-Z][A-Z0-9_]+) += ", environment))
    assert len(names) > 10
    assert names <= set(VARIABLES) | {"PGSSLROOTCERT"}


def test_lock__from_the_registry() -> None:
    """Otherwise delete it: no other machine could use it.

    Only the registry gives `zh:` hashes; a mirror's packages have `h1:` alone, and with
    those `terraform init` refuses the registry's packages.
    https://developer.hashicorp.com/terraform/language/files/dependency-lock
    """
    for path in TERRAFORM.glob("**/.terraform.lock.hcl"):
        text = path.read_text()
        for name, body in re.findall(r'(?ms)^provider "([^"]+)" \{(.*?)^\}', text):
            assert '"zh:' in body, (path, name)
