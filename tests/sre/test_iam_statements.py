"""The rules for IAM statements: what they refuse and what they let pass."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sre.lib.iam_statements import faults, state_faults

TERRAFORM = Path(__file__).resolve().parents[2] / "terraform"

BUCKET = "arn:aws:s3:::mirrorsite-uploads"
#: Actions that know no resource, so that `*` is all that can be written; each alone.
#: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
WITHOUT_RESOURCE = {'"ecr:GetAuthorizationToken"'}


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


def test_files__no_star_of_both_kinds() -> None:
    """Of what is written, without a plan: every allowing statement of every root."""
    count = 0
    for path in TERRAFORM.glob("**/*.tf"):
        if ".terraform" in path.parts:
            continue
        text = path.read_text()
        for block in re.findall(r"^( +)statement \{\n(.*?)^\1\}", text, re.S | re.M):
            body = block[1]
            if "principals {" in body or re.search(r'effect\s+= "Deny"', body):
                continue
            count += 1
            actions, resources = (
                # A list, or the name of one, which the check of the plans looks into.
                re.search(
                    rf"^\s+{name}\s+= (?:\[(.*?)\]|local\.\w+$)", body, re.S | re.M
                )
                for name in ("actions", "resources")
            )
            assert actions, f"{path.name}: {body}"
            assert resources, f"{path.name}: {body}"
            if actions[1].strip() not in WITHOUT_RESOURCE:
                assert '"*"' not in (resources[1] or ""), f"{path.name}: {body}"
            assert not re.search(r'[*]"', actions[1]), f"{path.name}: {body}"
    assert count >= 10
