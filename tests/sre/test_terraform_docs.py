"""The Terraform READMEs name every input and output, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

TERRAFORM = Path(__file__).parents[2] / "terraform"
DOCUMENTED = sorted(
    path.parent
    for path in TERRAFORM.glob("**/variables.tf")
    if path.parent != TERRAFORM and "examples" not in path.parts
)


def declared(directory: Path, kind: str) -> list[str]:
    text = (directory / f"{kind}s.tf").read_text(encoding="utf-8")
    return re.findall(rf'^{kind} "(\w+)"', text, re.MULTILINE)


def table(directory: Path, heading: str) -> list[str]:
    text = (directory / "README.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_there_are_modules_to_look_at() -> None:
    assert len(DOCUMENTED) == 15


@pytest.mark.parametrize(
    "directory", DOCUMENTED, ids=lambda path: str(path.relative_to(TERRAFORM))
)
class TestReadme:
    def test_names_every_input(self, directory: Path) -> None:
        assert table(directory, "Inputs") == declared(directory, "variable")

    def test_names_every_output(self, directory: Path) -> None:
        assert table(directory, "Outputs") == declared(directory, "output")


@pytest.mark.parametrize(
    "path", ["vars/infr.tfvars.json", "tests/fixtures/full.tfvars.json"]
)
class TestVariableFiles:
    def test_sets_only_what_the_root_knows(self, path: str) -> None:
        # Terraform only warns of an unknown name in such a file.
        values = json.loads((TERRAFORM / path).read_text(encoding="utf-8"))
        assert set(values) <= set(declared(TERRAFORM, "variable"))

    def test_holds_no_secret(self, path: str) -> None:
        values = json.loads((TERRAFORM / path).read_text(encoding="utf-8"))
        text = (TERRAFORM / "variables.tf").read_text(encoding="utf-8")
        blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.S | re.M)
        ephemeral = {name for name, body in blocks if "ephemeral   = true" in body}
        assert len(ephemeral) == 8
        assert not ephemeral & set(values)


EKS_VALUES = sorted(TERRAFORM.glob("eks/*/vars/*.tfvars.json"))


def test_each_root_of_eks_has_both_environments() -> None:
    assert {(path.parent.parent.name, path.name) for path in EKS_VALUES} == {
        (root, f"{environment}.tfvars.json")
        for root in ("pipeline", "network", "cluster", "data", "app", "runner")
        for environment in ("staging", "production")
    }


@pytest.mark.parametrize(
    "path", EKS_VALUES, ids=lambda path: str(path.relative_to(TERRAFORM))
)
def test_eks_values__known_to_the_root_and_of_its_environment(path: Path) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    assert set(values) <= set(declared(path.parent.parent, "variable"))
    assert values["environment"] == path.name.removesuffix(".tfvars.json")
