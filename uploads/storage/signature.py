"""Signature Version 4 for requests whose body's digest is known. No Django.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from botocore.credentials import ReadOnlyCredentials

_ALGORITHM = "AWS4-HMAC-SHA256"


def sign(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    sha256: str,
    *,
    credentials: ReadOnlyCredentials,
    region: str,
    service: str,
    at: datetime,
) -> dict[str, str]:
    """Return `headers` with those of the signature added.

    `headers` must include `host`, and all names must be lower-case. `path` and `query`
    must be exactly as they are sent, the query's parameters sorted by name. `sha256` is the body's, in hexadecimal; `at` is in UTC.
    """
    time = at.strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "x-amz-content-sha256": sha256, "x-amz-date": time}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    ordered = sorted(signed.items())
    names = ";".join([name for name, _ in ordered])
    lines = "".join([f"{name}:{' '.join(value.split())}\n" for name, value in ordered])
    request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{sha256}"
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key = _signing_key(credentials.secret_key, time[:8], region, service)
    signature = _hmac(key, f"{_ALGORITHM}\n{time}\n{scope}\n{digest}").hex()
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope},"
        f" SignedHeaders={names}, Signature={signature}"
    )
    return signed


@lru_cache(maxsize=8)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
