"""Terraform's providers and value files: what Terraform itself does not check."""

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
VALUES = sorted(TERRAFORM.glob("**/vars/*.tfvars.json"))
#: The versions that docs/deploy.md names as tried, and those that must not be taken.
#: With kubernetes 3.2.1 an update of a StatefulSet fails, and secrets differ then.
PROVIDERS = {
    "hashicorp/aws": ("5.100.0", {"6.0.0"}),
    "hashicorp/helm": ("3.1.2", {"4.0.0"}),
    "hashicorp/kubernetes": ("3.2.0", {"3.2.1", "4.0.0"}),
}


def providers(directory: Path) -> dict[str, SpecifierSet]:
    """Return the versions that a directory allows of each provider."""
    required = re.findall(
        r'source += "([^"]+)"\n(?: +#.*\n)* +version = "([^"]+)"',
        (directory / "versions.tf").read_text(),
    )
    # "~> 3.2" is Python's "~= 3.2".
    return {name: SpecifierSet(text.replace("~>", "~=")) for name, text in required}


class TestProviders:
    def test_versions(self):
        tried_text = (ROOT / "docs/deploy.md").read_text()
        for directory in DIRECTORIES:
            for name, versions in providers(directory).items():
                tried, refused = PROVIDERS[name]
                assert tried in versions, directory
                assert not any(it in versions for it in refused), directory
                assert f"{name} {tried}" in tried_text

    def test_minikube__without_an_account(self):
        cluster = [p for p in DIRECTORIES if "k8s" in p.parts]
        named = {name for p in (TERRAFORM, *cluster) for name in providers(p)}
        assert named == {"hashicorp/helm", "hashicorp/kubernetes"}

    def test_lock__from_the_registry(self):
        """Otherwise delete it: no other machine could use it.

        Only the registry gives `zh:` hashes; a mirror's packages have `h1:` alone, and
        with those `terraform init` refuses the registry's packages.
        https://developer.hashicorp.com/terraform/language/files/dependency-lock
        """
        for path in TERRAFORM.glob("**/.terraform.lock.hcl"):
            text = path.read_text()
            for name, body in re.findall(r'(?ms)^provider "([^"]+)" \{(.*?)^\}', text):
                assert '"zh:' in body, (path, name)


def test_grace_periods__add_up():
    """Terraform names the service's default."""
    graceful = VARIABLES["GRACEFUL_TIMEOUT_SECONDS"].default

    def number(name: str, file: str) -> str:
        (found,) = re.findall(rf"{name} ?= ?(\d+)", (TERRAFORM / file).read_text())
        return str(found)

    assert number("graceful_seconds", "modules/k8s/deployment/main.tf") == graceful
    drain = number("drain_seconds", "eks/app/main.tf")
    delay = number("deregistration_delay.timeout_seconds", "eks/app/main.tf")
    assert int(delay) >= int(drain) + int(graceful or 0)


@pytest.mark.parametrize("path", VALUES, ids=lambda p: str(p.relative_to(TERRAFORM)))
def test_values__known_to_the_root_and_the_service(path):
    """Terraform only warns of an unknown name in such a file."""
    root = path.parent.parent
    text = "".join(file.read_text() for file in root.glob("*.tf"))
    known = dict(re.findall(r'(?ms)^variable "(\w+)" \{\n(.*?)^\}', text))
    values = json.loads(path.read_text(encoding="utf-8"))
    assert set(values) <= set(known)
    assert not any("ephemeral" in known[name] for name in values)  # a secret
    environment = path.name.removesuffix(".tfvars.json")
    assert values.get("environment", environment) == environment
    assert set(values.get("settings", {})) <= set(VARIABLES)


def test_module__sets_what_the_service_reads():
    """Every name in the ConfigMap is a variable of the service, or libpq's."""
    text = (TERRAFORM / "modules/k8s/deployment/configuration.tf").read_text()
    environment = text[: text.index("database_ca_directory =")]
    names = set(re.findall(r"(?m)^ +([A-Z][A-Z0-9_]+) += ", environment))
    assert len(names) > 10
    assert names <= set(VARIABLES) | {"PGSSLROOTCERT"}
