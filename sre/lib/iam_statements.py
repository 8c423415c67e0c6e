"""Check that no identity of a Terraform state may delete the audit trail.

checkov refuses wildcards in policies; what lies under `audit/` it cannot know.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from typing import Any

DELETING = (
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:BypassGovernanceRetention",
)
#: An object key of a sealed copy.
UNDER_AUDIT = "audit/2026/01/01/000001.json"


def of_identities(state: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the statements of identities' policies (`terraform state pull`)."""
    for resource in state["resources"]:
        if resource["type"] in {"aws_iam_role_policy", "aws_iam_policy"}:
            names = resource.get("module"), resource["type"], resource["name"]
            for instance in resource["instances"]:
                document = json.loads(instance["attributes"]["policy"])
                for statement in document["Statement"]:
                    yield ".".join(filter(None, names)), statement


def deletes_trail(statement: dict[str, Any]) -> list[str]:
    """Return the actions that a statement allows under `audit/` and must not."""
    if statement["Effect"] != "Allow":
        return []
    if excluding := {"NotAction", "NotResource"} & statement.keys():
        return sorted(excluding)
    resources = _listed(statement["Resource"])
    # Whichever bucket the policy names.
    buckets = {it.split("/")[0] for it in resources if it.startswith("arn:aws:s3")}
    return [
        action
        for action in DELETING
        if _matches(statement["Action"], action)
        and any(
            _matches(resources, f"{bucket}/{UNDER_AUDIT}")
            for bucket in buckets or {"arn:aws:s3:::bucket"}
        )
    ]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _matches(patterns: str | list[str], text: str) -> bool:
    """IAM ignores the case of actions; to ignore that of resources refuses more."""
    lower = text.lower()
    return any(fnmatch.fnmatchcase(lower, it.lower()) for it in _listed(patterns))
