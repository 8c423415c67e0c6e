"""PutObject and UploadPart, signed here and sent once through urllib3.

boto3 takes three times the processor time for a small body: it validates parameters,
resolves the endpoint again, and parses.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from time import perf_counter
from traceback import clear_frames
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from botocore.credentials import Credentials
from urllib3 import BaseHTTPResponse, PoolManager

from mirrorsite.metrics import STORE_SECONDS
from uploads.exceptions import StoreError, StoreRefusedError
from uploads.storage.errors import error_from_status, frozen_credentials, store_error
from uploads.storage.objects import etag_and_version
from uploads.storage.signature import sign

#: COMPLIANCE, since one more permission is enough to open a GOVERNANCE lock.
OBJECT_LOCK_MODE: Final = "COMPLIANCE"

#: The answer to a put is an error in some hundred bytes, or empty.
MAX_ANSWER_BYTES = 64 * 1024
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]+)</Code>")
_REGION = re.compile(rb"<Region>([a-z0-9-]+)</Region>")


class SignedPuts:
    """Puts bodies into one bucket; raises nothing but `StoreError`."""

    def __init__(
        self,
        *,
        presigned_url: str,
        http: PoolManager,
        credentials: Credentials,
        user_agent: str,
    ) -> None:
        """`presigned_url` is one of the key `key`: host, path and region are taken from it."""
        parts = urlsplit(presigned_url)
        scope = parse_qs(parts.query)["X-Amz-Credential"][0]
        _, _, self._region, self._service, _ = scope.rsplit("/", 4)
        origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.netloc
        self._bucket_path = parts.path.removesuffix("key")
        # PoolManager.urlopen would parse the address and find the pool each time.
        self._pool = http.connection_from_url(origin)
        # A proxy for plain HTTP wants the whole address.
        is_forwarded = http.proxy is not None and parts.scheme == "http"
        self._prefix = origin if is_forwarded else ""
        self._credentials = credentials
        self._user_agent = user_agent

    def put_object(
        self,
        key: str,
        body: bytes | memoryview,
        sha256: str,
        content_type: str,
        metadata: Mapping[str, str],
        locked_until: datetime | None,
    ) -> tuple[str, str]:
        """Create an object, never overwrite; return its ETag and version.

        `sha256` is hexadecimal; the store refuses a body that has another one.
        """
        headers = {"content-type": content_type, "if-none-match": "*"}
        for name, value in metadata.items():
            if not value.isascii():
                raise StoreRefusedError(f"not sent: metadata {name} is not ASCII")
            headers[f"x-amz-meta-{name}"] = value
        if locked_until is not None:
            headers["x-amz-object-lock-mode"] = OBJECT_LOCK_MODE
            headers["x-amz-object-lock-retain-until-date"] = (
                f"{locked_until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            )
        answer = self._put("PutObject", key, "", body, sha256, headers)
        return etag_and_version(answer)

    def upload_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        body: bytes | memoryview,
        sha256: str,
    ) -> dict[str, str]:
        """Send one part; return its ETag."""
        query = f"partNumber={number}&uploadId={quote(upload_id, safe='-_.~')}"
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
        credentials = frozen_credentials(self._credentials)
        path = self._bucket_path + quote(key, safe="/~")
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        headers |= {"host": self._host, "x-amz-checksum-sha256": checksum}
        started = perf_counter()
        outcome = "no answer"
        try:
            signed = sign(
                "PUT", path, query, headers, sha256,
                credentials=credentials, region=self._region, service=self._service,
                at=datetime.now(UTC),
            )  # fmt: skip
            response = self._pool.urlopen(
                "PUT",
                self._prefix + (f"{path}?{query}" if query else path),
                body=body,  # type: ignore[arg-type]  # http.client takes any buffer
                headers={**signed, "user-agent": self._user_agent},
                redirect=False,
                retries=False,
                assert_same_host=False,
                preload_content=False,
            )
            answer = response.read(MAX_ANSWER_BYTES + 1)
            if len(answer) > MAX_ANSWER_BYTES:
                response.close()
                raise ValueError("too long for an answer of S3")
            response.release_conn()
            outcome = f"{response.status // 100}xx"
            if response.status == 200:
                found = {
                    "ETag": response.headers["etag"],
                    "VersionId": response.headers.get("x-amz-version-id", ""),
                }
                etag_and_version(found)  # raises if S3 cannot have sent it
                return found
        except Exception as error:
            # urllib3's frames refer to the body, and to the error that refers to them.
            clear_frames(error.__traceback__)
            raise store_error(error) from error
        finally:
            seconds = perf_counter() - started
            STORE_SECONDS.labels(operation, outcome).observe(seconds)
        raise _error_of(response, answer)


def _error_of(response: BaseHTTPResponse, answer: bytes) -> StoreError:
    code = _CODE.search(answer)
    region = _REGION.search(answer)
    return error_from_status(
        response.status,
        code[1].decode() if code else str(response.status),
        response.headers.get("x-amz-bucket-region")
        or (region[1].decode() if region else ""),
    )
