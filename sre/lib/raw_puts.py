"""Small PUTs signed by hand, ten times cheaper than through a client library.

Signature Version 4 with an unsigned payload, for a server on loopback:
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime

from sre.lib.object_store import ObjectStore

_SIGNED = "host;x-amz-content-sha256;x-amz-date"


def put_many(
    store: ObjectStore, bucket: str, objects: list[tuple[str, bytes]], *, processes: int
) -> None:
    """Put (key, body) pairs, shared out among processes; keys need no escaping."""
    shares = [objects[number::processes] for number in range(processes)]
    with ProcessPoolExecutor(processes) as pool:
        list(
            pool.map(
                _put,
                shares,
                [store.port] * processes,
                [store.access_key] * processes,
                [store.secret_key] * processes,
                [bucket] * processes,
            )
        )


def _put(
    objects: Iterable[tuple[str, bytes]],
    port: int,
    access_key: str,
    secret_key: str,
    bucket: str,
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for key, body in objects:
        path = f"/{bucket}/{key}"
        headers = signed_headers(
            "PUT", f"127.0.0.1:{port}", path, access_key, secret_key, datetime.now(UTC)
        )
        connection.request("PUT", path, body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"PUT {path} answered {answer.status}")
    connection.close()


def signed_headers(
    method: str, host: str, path: str, access_key: str, secret_key: str, now: datetime
) -> dict[str, str]:
    """Return the headers of one request, which the store takes for a quarter of an hour."""
    stamp, day = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
    scope = f"{day}/us-east-1/s3/aws4_request"
    canonical = (
        f"{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
        f"x-amz-date:{stamp}\n\n{_SIGNED}\nUNSIGNED-PAYLOAD"
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signing_key = f"AWS4{secret_key}".encode()
    for part in (day, "us-east-1", "s3", "aws4_request"):
        signing_key = hmac.digest(signing_key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.digest(signing_key, text.encode(), "sha256").hex()
    return {
        "Host": host,
        "x-amz-date": stamp,
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{scope},"
        f"SignedHeaders={_SIGNED},Signature={signature}",
    }
