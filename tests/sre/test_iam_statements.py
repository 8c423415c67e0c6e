"""The rules for IAM statements: what they refuse and what they let pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sre.lib.iam_statements import faults, main

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


@pytest.mark.parametrize(("action", "code"), [("s3:GetObject", 0), ("*", 1)])
def test_state__of_a_child_module(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str, code: int
) -> None:
    policy = json.dumps(document(Action=action, Resource="*"))
    resource = {
        "address": "module.m.aws_iam_role_policy.this",
        "type": "aws_iam_role_policy",
        "values": {"policy": policy},
    }
    state = {"values": {"root_module": {"child_modules": [{"resources": [resource]}]}}}
    path = tmp_path / "state.json"
    path.write_text(json.dumps(state))
    assert main([str(path)]) == code
    assert "1 policies" in capsys.readouterr().out


def test_nothing_found__is_a_fault(tmp_path: Path) -> None:
    """A state without policies would pass for the wrong reason."""
    path = tmp_path / "state.json"
    path.write_text("{}")
    assert main([str(path)]) == 1
