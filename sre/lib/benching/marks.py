"""Results between two marks of a document, so that a command can write them anew."""

from __future__ import annotations

from pathlib import Path


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of `name`; raises `ValueError` without them."""
    begin, end = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    head, found, rest = path.read_text().partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{path} has no lines {begin} and {end}")
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}")
