"""The rules for IAM statements: what they refuse and what they let pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sre.lib.iam_statements import faults, state_faults

BUCKET = "arn:aws:s3:::mirrorsite-uploads"


def document(**statement: Any) -> dict[str, Any]:
    return {"Statement": [{"Sid": "It", "Effect": "Allow", **statement}]}


@pytest.mark.parametrize("action", ["*", "s3:*", ["s3:GetObject", "kms:*"]])
def test_star_on_star__refused(action: Any) -> None:
    assert faults("a.b", False, document(Action=action, Resource="*"))


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:DeleteObject", f"{BUCKET}/*"),
        ("s3:Delete*", f"{BUCKET}/audit/*"),
        ("s3:BypassGovernanceRetention", "*"),
        ("s3:*", [f"{BUCKET}/uploads/*", f"{BUCKET}/a*"]),
    ],
)
def test_deleting_the_trail__refused(action: Any, resource: Any) -> None:
    assert faults("a.b", True, document(Action=action, Resource=resource))


@pytest.mark.parametrize("key", ["NotAction", "NotResource"])
def test_by_what_is_not_named__refused(key: str) -> None:
    statement = {"Action": "s3:GetObject", "Resource": BUCKET, key: "x"}
    assert faults("a.b", True, document(**statement))


def test_what_the_service_has__passes() -> None:
    policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:DeleteObject", "s3:PutObject"],
                "Resource": f"{BUCKET}/uploads/*",
            },
            {
                "Effect": "Allow",
                "Action": ["s3:PutObject"],
                "Resource": f"{BUCKET}/audit/*",
            },
            {"Effect": "Deny", "Action": "*", "Resource": "*"},
        ]
    }
    assert faults("a.b", True, policy) == []


@pytest.mark.parametrize(("action", "count"), [("s3:GetObject", 0), ("*", 1)])
def test_state__of_a_child_module(action: str, count: int) -> None:
    policy = json.dumps(document(Action=action, Resource="*"))
    resource = {
        "module": "module.m",
        "type": "aws_iam_role_policy",
        "name": "this",
        "instances": [{"attributes": {"policy": policy}}],
    }
    faults = state_faults({"resources": [resource]})
    assert len(faults) == count * 4  # the wildcards, and three ways to delete
    for text in faults:
        assert text.startswith("module.m.aws_iam_role_policy.this, It: ")


def test_state__without_policies() -> None:
    """It would pass for the wrong reason."""
    assert state_faults({}) == ["no policy was found"]
