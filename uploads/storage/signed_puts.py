"""PutObject and UploadPart through botocore's own signer and HTTP session.

A call of boto3 spends most of its 0.8 ms of processor time between the two: validating
parameters, resolving the endpoint again, event handlers, parsing. Here a request is
signed (Signature Version 4 over the body's SHA-256), sent once and read.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from mirrorsite.metrics import STORE_SECONDS
from uploads.exceptions import StoreRefusedError
from uploads.storage.errors import error_from_status, frozen, store_error

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]+)</Code>")
_REGION = re.compile(rb"<Region>([a-z0-9-]+)</Region>")


class SignedPuts:
    """Puts bodies into one bucket."""

    def __init__(
        self,
        *,
        presigned_url: str,
        http: URLLib3Session,
        credentials: Credentials,
        user_agent: str,
    ) -> None:
        """`presigned_url` is one of the key `key`: host, path and region are taken from it."""
        parts = urlsplit(presigned_url)
        scope = parse_qs(parts.query)["X-Amz-Credential"][0]
        _, _, self._region, self._service, _ = scope.rsplit("/", 4)
        self._bucket_url = parts._replace(query="").geturl().removesuffix("key")
        self._http = http
        self._credentials = credentials
        self._user_agent = user_agent

    def put_object(
        self,
        key: str,
        body: bytes | memoryview,
        sha256: str,
        content_type: str,
        metadata: Mapping[str, str],
    ) -> dict[str, str]:
        """Create an object, never overwrite; return its ETag and VersionId.

        `sha256` is hexadecimal; the store refuses a body that has another one. Raises
        `StoreError`.
        """
        headers = {"Content-Type": content_type, "If-None-Match": "*"}
        for name, value in metadata.items():
            if not value.isascii():
                raise StoreRefusedError(f"not sent: metadata {name} is not ASCII")
            headers[f"x-amz-meta-{name}"] = value
        return self._put("PutObject", key, "", body, sha256, headers)

    def upload_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        body: bytes | memoryview,
        sha256: str,
    ) -> dict[str, str]:
        """Send one part; return its ETag. Raises `StoreError`."""
        query = f"?partNumber={number}&uploadId={quote(upload_id, safe='-_.~')}"
        return self._put("UploadPart", key, query, body, sha256, {})

    def _put(
        self,
        operation: str,
        key: str,
        query: str,
        body: bytes | memoryview,
        sha256: str,
        headers: dict[str, str],
    ) -> dict[str, str]:
        credentials = frozen(self._credentials)
        headers["User-Agent"] = self._user_agent
        headers["x-amz-checksum-sha256"] = base64.b64encode(
            bytes.fromhex(sha256)
        ).decode()
        started = perf_counter()
        outcome = "no answer"
        try:
            url = self._bucket_url + quote(key, safe="/~") + query
            request = AWSRequest("PUT", url, headers, data=body)
            request.context["sha256"] = sha256
            _Signer(credentials, self._service, self._region).add_auth(request)
            response = self._http.send(request.prepare())
            outcome = f"{response.status_code // 100}xx"
            if response.status_code == 200:
                return {
                    "ETag": response.headers["etag"],
                    "VersionId": response.headers.get("x-amz-version-id", ""),
                }
        except Exception as error:
            raise store_error(error) from error
        finally:
            seconds = perf_counter() - started
            STORE_SECONDS.labels(operation, outcome).observe(seconds)
        raise _error_of(response)


class _Signer(S3SigV4Auth):
    """Signature Version 4 over a digest that is known already."""

    def payload(self, request: AWSRequest) -> str:
        digest: str = request.context["sha256"]
        return digest


def _error_of(response: Any) -> Exception:
    code = _CODE.search(response.content)
    region = _REGION.search(response.content)
    return error_from_status(
        response.status_code,
        code[1].decode() if code else str(response.status_code),
        response.headers.get("x-amz-bucket-region")
        or (region[1].decode() if region else ""),
    )
