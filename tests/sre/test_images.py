"""The images that pipelines, compose.yaml, Dockerfiles and Terraform name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = (
    ".gitlab-ci.yml",
    "terraform/.gitlab-ci.yml",
    "compose.yaml",
    "Dockerfile",
    *(str(p.relative_to(ROOT)) for p in ROOT.glob("terraform/**/Dockerfile")),
    "terraform/modules/k8s/data/main.tf",
)
#: A stage of a Dockerfile and an image of our own have no tag, and are not found.
REFERENCE = re.compile(
    r"""(?mx)
    (?: ^FROM\ | image:\  | image\s=\ " | -?\ name:\  | PYTHON_IMAGE(?:=|:-) )
    (?:docker\.io/)? (?:library/)?
    ([a-z][\w./-]*) ((?: :[\w.-]+ | @sha256:[0-9a-f]{64} )+)
    """
)
#: Exact versions of the others have three numbers.
TWO_NUMBERS = {"postgres", "chrislusf/seaweedfs"}


def references() -> list[tuple[str, str, str]]:
    """Return file, name and version of each image."""
    found = []
    for file in FILES:
        for name, tag in REFERENCE.findall((ROOT / file).read_text()):
            version = re.search(r"\d+(\.\d+)*", tag.partition("@")[0])
            found.append((file, name, version[0] if version else ""))
    return [reference for reference in found if reference[1] != "mirrorsite"]


@pytest.mark.parametrize(("file", "name", "version"), references())
def test_exact_version(file: str, name: str, version: str) -> None:
    """What was tried stays what is run."""
    assert len(version.split(".")) >= (2 if name in TWO_NUMBERS else 3)


def test_every_file() -> None:
    """The pattern finds the images of each of them."""
    assert {file for file, _, _ in references()} == set(FILES)


def test_one_version_of_each() -> None:
    """What is tested is what is deployed."""
    named = {(name, version) for _, name, version in references()}
    assert len(named) == len({name for name, _ in named}), sorted(named)
