"""PutObject and UploadPart: signed here, and sent once.

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

from mirrorsite.metrics import STORE_SECONDS
from uploads.exceptions import StoreError, StoreRefusedError
from uploads.storage.errors import error_from_status, frozen_credentials, store_error
from uploads.storage.http_client import Answer, HTTPClient, host_of
from uploads.storage.objects import etag_and_version
from uploads.storage.signature import sign

#: COMPLIANCE, since one more permission is enough to open a GOVERNANCE lock.
OBJECT_LOCK_MODE: Final = "COMPLIANCE"

_CODE = re.compile(rb"<Code>([A-Za-z0-9.]+)</Code>")
_REGION = re.compile(rb"<Region>([a-z0-9-]+)</Region>")


class SignedPuts:
    """Puts bodies into one bucket; raises nothing but `StoreError`."""

    def __init__(
        self,
        *,
        presigned_url: str,
        http: HTTPClient,
        credentials: Credentials,
        user_agent: str,
    ) -> None:
        """Take host, path and region from `presigned_url`, which is for the key `key`."""
        parts = urlsplit(presigned_url)
        scope = parse_qs(parts.query)["X-Amz-Credential"][0]
        _, _, self._region, self._service, _ = scope.rsplit("/", 4)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._host = host_of(parts)
        self._bucket_path = parts.path.removesuffix("key")
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
        locked_until: datetime | None,
    ) -> tuple[str, str]:
        """Create an object, never overwrite; return its ETag and version.

        `sha256` is hexadecimal; the store refuses a body that has another one.
        """
        headers = {"content-type": content_type, "if-none-match": "*"}
        for name, value in metadata.items():
            if not (value.isascii() and value.isprintable()):
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
        """Send one part; return its `ETag` and `VersionId` by those names."""
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
            answer = self._http.send(
                "PUT",
                self._origin,
                f"{path}?{query}" if query else path,
                {**signed, "user-agent": self._user_agent},
                body,
            )
            content = answer.read()
            outcome = f"{answer.status // 100}xx"
            if answer.status == 200:
                found = {
                    "ETag": answer.fields["etag"],
                    "VersionId": answer.fields.get("x-amz-version-id", ""),
                }
                etag_and_version(found)  # raises if S3 cannot have sent it
                return found
        except StoreError:
            raise
        except Exception as error:
            # The frames of the traceback would keep the body in memory.
            clear_frames(error.__traceback__)
            raise store_error(error) from error
        finally:
            seconds = perf_counter() - started
            STORE_SECONDS.labels(operation, outcome).observe(seconds)
        raise _error_of(answer, content)


def _error_of(answer: Answer, content: bytes) -> StoreError:
    code = _CODE.search(content)
    region = _REGION.search(content)
    return error_from_status(
        answer.status,
        code[1].decode() if code else str(answer.status),
        answer.fields.get("x-amz-bucket-region")
        or (region[1].decode() if region else ""),
    )
