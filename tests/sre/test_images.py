"""The images that pipelines, compose.yaml, Dockerfiles and Terraform name."""

from __future__ import annotations

import re

from tests.support import ROOT

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
    (?!mirrorsite:) ([a-z][\w./-]*) ((?: :[\w.-]+ | @sha256:[0-9a-f]{64} )+)
    """
)
#: Exact versions of the others have three numbers.
TWO_NUMBERS = {"postgres", "chrislusf/seaweedfs"}


def test_exact_versions__the_same_everywhere():
    """What was tried stays what is run, and what is tested is what is deployed."""
    versions: dict[str, str] = {}
    for file in FILES:
        found = REFERENCE.findall((ROOT / file).read_text())
        assert found, file
        for name, tag in found:
            match = re.search(r"\d+(\.\d+)*", tag.partition("@")[0])
            version = match[0] if match else ""
            assert version.count(".") >= (1 if name in TWO_NUMBERS else 2), (file, name)
            assert versions.setdefault(name, version) == version, (file, name)
