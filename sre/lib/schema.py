"""Compare docs/openapi.yaml with what the code describes, or write it. For sre/schema."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import django

COMMITTED = Path(__file__).resolve().parent.parent.parent / "docs" / "openapi.yaml"


def main(mode: str) -> int:
    """Return the exit status; `mode` is --check or --write."""
    django.setup()
    from mirrorsite.api_docs import openapi_yaml

    generated = openapi_yaml()
    if mode == "--write":
        COMMITTED.write_text(generated)
        return 0
    committed = COMMITTED.read_text() if COMMITTED.exists() else ""
    if committed == generated:
        return 0
    sys.stdout.writelines(
        difflib.unified_diff(
            committed.splitlines(keepends=True),
            generated.splitlines(keepends=True),
            "docs/openapi.yaml",
            "generated",
        )
    )
    print("docs/openapi.yaml is not what the code describes; run ./sre/schema --write")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
