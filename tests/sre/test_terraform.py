"""Terraform's providers, value files and what is written about them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from mirrorsite.environment import VARIABLES
from tests.support import ROOT

TERRAFORM = ROOT / "terraform"
DIRECTORIES = sorted({path.parent for path in TERRAFORM.glob("**/versions.tf")})
ROOTS = [path for path in DIRECTORIES if "modules" not in path.parts]
EKS = [path for path in ROOTS if path.parent.name == "eks"]
VALUES = sorted(
    path
    for pattern in ("vars/*.tfvars.json", "eks/*/vars/*.tfvars.json")
    for path in TERRAFORM.glob(pattern)
)
#: The versions that docs/deploy.md names as tried, and the next major version.
PROVIDERS = {
    "hashicorp/aws": ("5.100.0", "6.0.0"),
    "hashicorp/helm": ("3.1.2", "4.0.0"),
    "hashicorp/kubernetes": ("3.2.0", "4.0.0"),
}


def variables(root: Path) -> dict[str, str]:
    """Return the text of each variable."""
    text = "".join(path.read_text() for path in sorted(root.glob("*.tf")))
    return dict(re.findall(r'(?ms)^variable "(\w+)" \{\n(.*?)^\}', text))


def providers(directory: Path) -> dict[str, SpecifierSet]:
    """Return the versions that a directory allows of each provider."""
    required = re.findall(
        r'source += "([^"]+)"\n(?: +#.*\n)* +version = "([^"]+)"',
        (directory / "versions.tf").read_text(),
    )
    # "~> 3.2" is Python's "~= 3.2".
    return {name: SpecifierSet(text.replace("~>", "~=")) for name, text in required}


class TestProviders:
    @pytest.mark.parametrize(
        "directory", DIRECTORIES, ids=lambda path: str(path.relative_to(TERRAFORM))
    )
    def test_one_major_version__with_the_tried_one(self, directory: Path) -> None:
        for name, versions in providers(directory).items():
            tried, next_major = PROVIDERS[name]
            assert tried in versions
            assert next_major not in versions

    def test_broken_version__excluded(self) -> None:
        """An update of a StatefulSet fails with it, and secrets differ then."""
        needing = [p for p in DIRECTORIES if "hashicorp/kubernetes" in providers(p)]
        assert len(needing) > 5
        assert not [
            p for p in needing if "3.2.1" in providers(p)["hashicorp/kubernetes"]
        ]

    def test_minikube__without_an_account(self) -> None:
        cluster = [p for p in DIRECTORIES if "k8s" in p.parts]
        named = {name for p in (TERRAFORM, *cluster) for name in providers(p)}
        assert named == {"hashicorp/helm", "hashicorp/kubernetes"}

    def test_docs__which_were_tried(self) -> None:
        text = (ROOT / "docs/deploy.md").read_text()
        for name, (tried, _) in PROVIDERS.items():
            assert f"{name} {tried}" in text


def test_docs__number_of_roots_on_eks() -> None:
    numbers = ("five", "six", "seven")
    text = " ".join((ROOT / "docs/deploy-eks.md").read_text().split())
    assert f"has {numbers[len(EKS) - 5]} root modules" in text


class TestGracePeriods:
    """Terraform and the runbook name the service's default, and add up."""

    GRACEFUL = VARIABLES["GRACEFUL_TIMEOUT_SECONDS"].default

    def number(self, name: str, file: str) -> str:
        (found,) = re.findall(rf"{name} ?= ?(\d+)", (TERRAFORM / file).read_text())
        return str(found)

    def test_service__its_default(self) -> None:
        file = "modules/k8s/deployment/main.tf"
        assert self.number("graceful_seconds", file) == self.GRACEFUL

    def test_eks__as_in_the_runbook(self) -> None:
        drain = self.number("drain_seconds", "eks/app/main.tf")
        delay = self.number("deregistration_delay.timeout_seconds", "eks/app/main.tf")
        assert int(delay) >= int(drain) + int(self.GRACEFUL or 0)
        assert (
            f"{drain} s of `preStop` while the\n   load balancer removes the pod, then"
            f" {self.GRACEFUL} s for its requests; the load balancer waits {delay} s."
        ) in (ROOT / "docs/runbook.md").read_text()


def test_readme__every_directory() -> None:
    """Each root and module is in a table of a README."""
    text = "".join(
        (TERRAFORM / name).read_text() for name in ("README.md", "eks/README.md")
    )
    for directory in set(DIRECTORIES) - {TERRAFORM}:
        assert f"`{directory.name}" in text or f"{directory.name}`" in text, directory


def test_eks__both_environments() -> None:
    named = {(p.parent.parent.name, p.name) for p in VALUES if "eks" in p.parts}
    assert named == {
        (root.name, f"{environment}.tfvars.json")
        for root in EKS
        for environment in ("staging", "production")
    }


@pytest.mark.parametrize("path", VALUES, ids=lambda p: str(p.relative_to(TERRAFORM)))
class TestValues:
    def test_known_to_the_root(self, path: Path) -> None:
        """Terraform only warns of an unknown name in such a file."""
        values = json.loads(path.read_text(encoding="utf-8"))
        known = variables(path.parent.parent)
        assert set(values) <= set(known)
        secret = {name for name, body in known.items() if "ephemeral" in body}
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
