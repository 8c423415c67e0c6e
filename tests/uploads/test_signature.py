"""Signatures, beside those of botocore."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from uploads.storage.client import sign

DIGEST = "ab" * 32


@pytest.mark.parametrize("at", [datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)])
@pytest.mark.parametrize("token", [None, "a/token+="])
@pytest.mark.parametrize(
    ("path", "query", "headers"),
    [
        ("/bucket/key", "", {}),
        (
            "/bucket/" + quote("a b+c/ü~'(1)!*=&?#%41"),
            "",
            {"x-amz-meta-b": "1", "x-amz-meta-a": "2"},
        ),
        (
            "/key",
            "partNumber=7&uploadId=an%2Bid",
            {"x-amz-meta-a": "several  spaces\tand a tab"},
        ),
    ],
)
def test_as_botocore_signs(path, query, headers, token, at):
    credentials = ReadOnlyCredentials("AKIA", "secret", token)
    headers = {"host": "bucket.example:8333", "if-none-match": "*", **headers}

    signed = sign(
        "PUT", path, query, headers, DIGEST,
        credentials=credentials, region="eu-west-1", service="s3", at=at,
    )  # fmt: skip

    url = f"http://bucket.example:8333{path}" + (f"?{query}" if query else "")
    theirs = AWSRequest("PUT", url, headers)
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=at),
        mock.patch.object(S3SigV4Auth, "payload", return_value=DIGEST),
    ):
        S3SigV4Auth(credentials, "s3", "eu-west-1").add_auth(theirs)
    del theirs.headers["X-Amz-Content-SHA256"]
    assert signed["authorization"] == theirs.headers["Authorization"]
    assert signed["x-amz-date"] == theirs.headers["X-Amz-Date"]
    assert signed.get("x-amz-security-token") == theirs.headers["X-Amz-Security-Token"]
