"""Signatures, beside those of botocore."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from uploads.storage.client import sign

NAMES = st.from_regex(r"x-amz-meta-[a-z0-9-]{1,20}", fullmatch=True)
VALUES = st.text("aZ09 =;:/+\t", min_size=1).map(str.strip).filter(bool)
DIGEST = "ab" * 32


@settings(max_examples=30)
@given(
    host=st.sampled_from(
        ["bucket.example:8333", "BUCKET.example", "bucket.example:80"]
    ),
    path=st.text(min_size=1, max_size=50).map(lambda key: "/bucket/" + quote(key)),
    query=st.sampled_from(["", "partNumber=7&uploadId=an%2Bid"]),
    headers=st.dictionaries(NAMES, VALUES),
    token=st.sampled_from([None, "a/token+="]),
    at=st.integers(10**9, 4 * 10**9).map(lambda at: datetime.fromtimestamp(at, UTC)),
)
def test_as_botocore_signs(host, path, query, headers, token, at):
    credentials = ReadOnlyCredentials("AKIA", "secret", token)
    headers = {"if-none-match": "*", **headers}
    url = f"http://{host}{path}" + (f"?{query}" if query else "")

    signed = sign(
        url, headers, DIGEST,
        credentials=credentials, scope="eu-west-1/s3/aws4_request", at=at,
    )  # fmt: skip

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
