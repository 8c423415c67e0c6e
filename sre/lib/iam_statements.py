"""Hold every IAM statement of Terraform's states against the project's rules.

Reads what ``terraform show -json`` says of states. No allowing statement may have a
bare star (``*``, ``*:*`` or ``service:*``) as action together with ``*`` as resource,
and no identity policy may allow to delete under ``audit/``.
"""

from __future__ import annotations

import fnmatch
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Attributes of resources that hold a policy, and whether an identity gets it.
POLICIES = {
    ("aws_iam_role_policy", "policy"): True,
    ("aws_iam_policy", "policy"): True,
    ("aws_iam_role", "assume_role_policy"): False,
    ("aws_s3_bucket_policy", "policy"): False,
    ("aws_kms_key", "policy"): False,
    ("aws_ecr_repository_policy", "policy"): False,
}
DELETING = (
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:BypassGovernanceRetention",
)
#: A key as the trail's copies have them; the bucket's part is put in as it is found.
UNDER_AUDIT = "audit/2026/01/01/000001.json"


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _resources(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def policies(state: dict[str, Any]) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Yield address, whether an identity gets it, and document of each policy."""
    root = state.get("values", {}).get("root_module", {})
    for resource in _resources(root):
        for (kind, attribute), identity in POLICIES.items():
            text = resource.get("values", {}).get(attribute)
            # AWS's own default policy of a key is not ours to write.
            if resource["type"] != kind or not text or kind == "aws_kms_key":
                continue
            yield resource["address"], identity, json.loads(text)


def _allows(statement: dict[str, Any], action: str, resource: str) -> bool:
    return any(
        fnmatch.fnmatchcase(action.lower(), pattern.lower())
        for pattern in _listed(statement.get("Action"))
    ) and any(
        fnmatch.fnmatchcase(resource, pattern)
        for pattern in _listed(statement.get("Resource"))
    )


def faults(address: str, identity: bool, document: dict[str, Any]) -> list[str]:
    """Return what is wrong with one policy, a sentence each."""
    found: list[str] = []
    statements = document["Statement"]
    statements = [statements] if isinstance(statements, dict) else statements
    for statement in statements:
        if statement["Effect"] != "Allow":
            continue
        name = f"{address}, {statement.get('Sid') or 'a statement without name'}"
        if {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
            found.append(f"{name}: allows by what it does not name")
        wide = [a for a in _listed(statement.get("Action")) if a.endswith("*")]
        if "*" in _listed(statement.get("Resource")) and any(
            action == "*" or action.endswith(":*") for action in wide
        ):
            found.append(f"{name}: {', '.join(wide)} on *")
        if identity:
            # As any bucket of a policy might be meant, each is asked for.
            buckets = {
                resource.split("/")[0]
                if resource.startswith("arn:")
                else "arn:aws:s3:::b"
                for resource in _listed(statement.get("Resource"))
            }
            found += [
                f"{name}: {action} under audit/"
                for bucket in sorted(buckets)
                for action in DELETING
                if _allows(statement, action, f"{bucket}/{UNDER_AUDIT}")
            ]
    return found


def main(arguments: list[str]) -> int:
    """Check the states named; return 1 when something is wrong or none was found."""
    count = 0
    wrong: list[str] = []
    for name in arguments:
        for address, identity, document in policies(json.loads(Path(name).read_text())):
            count += 1
            wrong += faults(address, identity, document)
    for text in wrong:
        sys.stdout.write(f"FAILED: {text}\n")
    sys.stdout.write(f"{count} policies held against the rules\n")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
