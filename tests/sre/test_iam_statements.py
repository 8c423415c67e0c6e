"""Which IAM statements would let an identity delete the audit trail."""

from __future__ import annotations

import json

import pytest

from sre.lib.iam_statements import deletes_trail, of_identities

BUCKET = "arn:aws:s3:::mirrorsite-uploads"
WIDE = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:DeleteObject", f"{BUCKET}/*"),
        ("s3:Delete*", f"{BUCKET}/audit/*"),
        ("s3:BypassGovernanceRetention", "*"),
        ("s3:*", [f"{BUCKET}/uploads/*", f"{BUCKET}/a*"]),
    ],
)
def test_deleting__found(action, resource):
    assert deletes_trail({"Effect": "Allow", "Action": action, "Resource": resource})


@pytest.mark.parametrize("key", ["NotAction", "NotResource"])
def test_all_but__found(key):
    assert deletes_trail({"Effect": "Allow", key: "x"}) == [key]


@pytest.mark.parametrize(
    "statement",
    [
        {"Action": ["s3:DeleteObject"], "Resource": f"{BUCKET}/uploads/*"},
        {"Action": "s3:PutObject", "Resource": f"{BUCKET}/audit/*"},
        WIDE | {"Effect": "Deny"},
    ],
)
def test_what_the_service_has__passes(statement):
    assert deletes_trail({"Effect": "Allow", **statement}) == []


def test_state__of_a_child_module():
    resource = {
        "module": "module.m",
        "type": "aws_iam_role_policy",
        "name": "this",
        "instances": [{"attributes": {"policy": json.dumps({"Statement": [WIDE]})}}],
    }
    other = {"type": "aws_s3_bucket_policy", "name": "this", "instances": []}
    found = list(of_identities({"resources": [other, resource]}))
    assert found == [("module.m.aws_iam_role_policy.this", WIDE)]
