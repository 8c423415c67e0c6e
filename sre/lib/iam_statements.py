"""Check the IAM policies of a Terraform state (`terraform state pull`).

No allowing statement may have a wildcard service (`*`, `*:*` or `service:*`) as action
together with `*` as resource, and no identity policy may allow deleting under `audit/`.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from typing import Any

#: Attributes of resources that hold a policy, and whether it is an identity's.
POLICIES = {
    ("aws_iam_role_policy", "policy"): True,
    ("aws_iam_policy", "policy"): True,
    ("aws_iam_role", "assume_role_policy"): False,
    ("aws_s3_bucket_policy", "policy"): False,
    ("aws_ecr_repository_policy", "policy"): False,
}
DELETING = (
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    "s3:BypassGovernanceRetention",
)
#: An object key of a sealed copy.
UNDER_AUDIT = "audit/2026/01/01/000001.json"


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def policies(state: dict[str, Any]) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Yield each policy's resource, whether it is an identity's, and the document."""
    for resource in state.get("resources", []):
        names = resource.get("module"), resource["type"], resource["name"]
        for (kind, attribute), identity in POLICIES.items():
            for instance in resource["instances"] if resource["type"] == kind else ():
                if text := instance["attributes"].get(attribute):
                    yield ".".join(filter(None, names)), identity, json.loads(text)


def _matches(patterns: Any, text: str) -> bool:
    """IAM ignores the case of actions; to ignore that of resources refuses more."""
    lower = text.lower()
    return any(fnmatch.fnmatchcase(lower, it.lower()) for it in _listed(patterns))


def faults(address: str, identity: bool, document: dict[str, Any]) -> list[str]:
    """Return what is wrong with one policy, a sentence each."""
    found: list[str] = []
    statements = document["Statement"]
    for statement in [statements] if isinstance(statements, dict) else statements:
        if statement["Effect"] != "Allow":
            continue
        name = f"{address}, {statement.get('Sid') or 'a statement without name'}"
        actions = _listed(statement.get("Action"))
        resources = _listed(statement.get("Resource"))
        if {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
            found.append(f"{name}: allows everything that it does not name")
        wide = [action for action in actions if action == "*" or action.endswith(":*")]
        if "*" in resources and wide:
            found.append(f"{name}: {', '.join(wide)} on *")
        # Whichever bucket the policy names.
        arns = [it.split("/")[0] for it in resources if it.startswith("arn:")]
        buckets = {*arns, *(["arn:aws:s3:::b"] if len(arns) < len(resources) else [])}
        found += [
            f"{name}: {action} under audit/"
            for bucket in sorted(buckets if identity else ())
            for action in DELETING
            if _matches(actions, action)
            and _matches(resources, f"{bucket}/{UNDER_AUDIT}")
        ]
    return found


def state_faults(state: dict[str, Any]) -> list[str]:
    """Return what is wrong with the policies of a state; having none is a fault."""
    found = list(policies(state))
    if not found:
        return ["no policy was found"]
    return [text for policy in found for text in faults(*policy)]
