"""Write terraform/REFERENCE.md: inputs and outputs of every root, from its files."""

from __future__ import annotations

import re
import sys
from pathlib import Path

TERRAFORM = Path(__file__).resolve().parent.parent.parent / "terraform"
_BLOCK = r'(?ms)^{kind} "(\w+)" \{{\n(.*?)^\}}'


def roots() -> list[Path]:
    """Return the directories that are applied, not called as modules."""
    found = {path.parent for path in TERRAFORM.glob("**/versions.tf")}
    return sorted(path for path in found if "modules" not in path.parts)


def blocks(directory: Path, kind: str) -> list[tuple[str, str]]:
    """Return name and text of each variable or output."""
    text = "".join(path.read_text() for path in sorted(directory.glob("*.tf")))
    return re.findall(_BLOCK.format(kind=kind), text)


def _attribute(body: str, name: str) -> str | None:
    found = re.search(rf"(?m)^  {name} += (.*)$", body)
    return found[1] if found else None


def _description(body: str) -> str:
    text = _attribute(body, "description") or '""'
    return text[1:-1].replace('\\"', '"').replace("|", "\\|")


def _default(body: str) -> str:
    default = _attribute(body, "default")
    if default is None:
        return "required"
    return f"`{default}`"


def section(directory: Path) -> list[str]:
    """Return one root's section, as lines of Markdown."""
    name = directory.relative_to(TERRAFORM).as_posix()
    lines = [
        f"## {name}",
        "",
        "| input | default | description |",
        "| --- | --- | --- |",
    ]
    for variable, body in blocks(directory, "variable"):
        secret = " Secret." if "ephemeral" in body else ""
        lines.append(
            f"| `{variable}` | {_default(body)} | {_description(body)}{secret} |"
        )
    outputs = blocks(directory, "output")
    if outputs:
        lines += ["", "| output | description |", "| --- | --- |"]
        lines += [f"| `{output}` | {_description(body)} |" for output, body in outputs]
    return [*lines, ""]


def reference() -> str:
    """Return the whole page."""
    lines = [
        "# Inputs and outputs of the Terraform roots",
        "",
        "Written by `python -m sre.lib.terraform_docs`. Fields of objects: `variables.tf`.",
        "",
    ]
    for directory in roots():
        lines += section(directory)
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    (TERRAFORM / "REFERENCE.md").write_text(reference(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
