"""Compare requirements.txt and requirements/ with the ranges in pyproject.toml."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent.parent
#: Groups of environments of their own: the fuzzer asks a running service over HTTP, and
#: the bench's peers are other applications.
ALONE = frozenset({"fuzz", "bench"})


def faults(project: dict[str, Any], compiled: dict[str, str]) -> list[str]:
    """Return one sentence per range without a fitting pin.

    `compiled` maps the name of a group ("" is production) to the text of its file.
    """
    found = []
    for group, text in compiled.items():
        pins = dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", text, re.MULTILINE))
        lines = [] if group in ALONE else list(project["project"]["dependencies"])
        if group:
            lines += resolve_dependency_groups(project["dependency-groups"], group)
        for requirement in map(Requirement, lines):
            name = canonicalize_name(requirement.name)
            if name not in pins or pins[name] not in requirement.specifier:
                found.append(
                    f"{group or 'production'}: {name} is {pins.get(name, 'not pinned')},"
                    f" not {requirement.specifier or 'any'}."
                )
    return found


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    compiled = {"": (ROOT / "requirements.txt").read_text()}
    for group in project["dependency-groups"]:
        compiled[group] = (ROOT / "requirements" / f"{group}.txt").read_text()
    found = faults(project, compiled)
    for fault in found:
        print(f"{fault} Run ./sre/lock.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
