"""Requests to one bucket: by boto3, or signed here if they have a body; and retries."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from botocore.credentials import Credentials, ReadOnlyCredentials

from uploads.exceptions import (
    StoreCredentialsError,
    StoreError,
    StoreUnavailableError,
)
from uploads.payloads import Chunks
from uploads.storage.configuration import (
    StoreConfiguration,
    Transport,
    build_transport,
)
from uploads.storage.errors import (
    credentials_error,
    error_from_status,
    store_errors,
    unreadable_answer,
)
from uploads.storage.http_client import host_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

_ALGORITHM = "AWS4-HMAC-SHA256"
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]+)</Code>")
_REGION = re.compile(rb"<Region>([a-z0-9-]+)</Region>")
#: With both quotes or none; no longer than the column.
_ETAG = re.compile(r'"[!#-~]{1,128}"|[!#-~]{1,128}')
_VERSION = re.compile(r"[!-~]{0,1024}")

#: Called before each further attempt, with the number and error of the failed one.
OnRetry = Callable[[int, StoreError], None]


class StoreClient:
    """Requests to one bucket; raises nothing but `StoreError`.

    The transport is built at the first request, or by a later one if there were no
    credentials.
    """

    def __init__(self, configuration: StoreConfiguration) -> None:
        self.configuration = configuration
        self.bucket = configuration.bucket_name
        self._transport: Transport | None = None

    def connect(self, transport: Transport | None = None) -> Transport:
        """Use this transport, or build one.

        There is no lock, because threads would then wait one after the other for a token
        service that hangs.
        """
        self._transport = transport = transport or build_transport(self.configuration)
        return transport

    @property
    def transport(self) -> Transport:
        return self._transport or self.connect()

    def put(
        self,
        operation: str,
        key: str,
        body: Chunks,
        sha256: str,
        *,
        headers: Mapping[str, str],
        query: str = "",
    ) -> tuple[str, str]:
        """Send a body once, without boto3; return its ETag and version id.

        boto3 takes three times the processor time for a small body: it validates the
        parameters, resolves the endpoint each time, and parses the whole answer.

        `operation` is the name for the metrics. `sha256` is hexadecimal; the store
        refuses a body that has another one.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
        """
        transport = self.transport
        credentials = frozen_credentials(transport.credentials)
        url = transport.url + quote(key, safe="/~") + (f"?{query}" if query else "")
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        with store_errors():
            signed = sign(
                url, {**headers, "x-amz-checksum-sha256": checksum}, sha256,
                credentials=credentials, scope=transport.scope, at=datetime.now(UTC),
            )  # fmt: skip
            signed["user-agent"] = transport.user_agent
            answer = transport.http.send(operation, "PUT", url, signed, body)
            content = answer.read()
            if answer.status == 200:
                return etag_and_version(
                    answer.fields["etag"], answer.fields.get("x-amz-version-id")
                )
        code, region = _CODE.search(content), _REGION.search(content)
        raise error_from_status(
            answer.status,
            code[1].decode() if code else str(answer.status),
            answer.fields.get("x-amz-bucket-region")
            or (region[1].decode() if region else ""),
        )

    def client(self) -> S3Client:
        """Refresh the credentials, and return the boto3 client; call it for each request.

        If boto3 refreshed them during the request, a failure of the token service would
        look like one of the store.
        """
        frozen_credentials(self.transport.credentials)
        return self.transport.client

    def call(self, operation: str, *, retry: bool = True, **parameters: Any) -> Any:
        """Call a method of the boto3 client for the bucket; return the answer."""

        def request() -> Any:
            method = getattr(self.client(), operation)
            with store_errors():
                return method(Bucket=self.bucket, **parameters)

        return self.with_retries(request) if retry else request()

    def with_retries(
        self,
        request: Callable[[], T],
        on_retry: OnRetry = lambda attempt, error: None,
    ) -> T:
        """Call `request` up to `max_attempts` times while the store is unavailable."""
        for attempt in range(1, self.configuration.max_attempts):
            try:
                return request()
            except StoreCredentialsError:
                raise  # not an outage of the store, which the retries are for
            except StoreUnavailableError as error:
                # Full jitter: after an outage, clients should not all retry at the same
                # moment.
                time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311
                on_retry(attempt, error)
        return request()

    def pages(self, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing; each request may be repeated."""
        marker: dict[str, Any] = {}
        while True:
            page = self.call(operation, **parameters, **marker)
            with store_errors():
                # Not `get`: an empty answer of a proxy is no empty bucket.
                is_last = not page["IsTruncated"]
            yield page
            if is_last:
                return
            # `NextKeyMarker` of a page is the parameter `KeyMarker` of the next request. A
            # page that ends with a key's last version has no marker for versions.
            following = {
                name.removeprefix("Next"): value
                for name, value in page.items()
                if name.startswith("Next") and value
            }
            if following in ({}, marker):
                raise unreadable_answer("the next page's marker is missing or repeated")
            marker = following


def frozen_credentials(credentials: Credentials) -> ReadOnlyCredentials:
    """Return the keys to sign with, refreshed if they are about to expire.

    Raises `StoreCredentialsError` when there are none: nothing was sent then.
    """
    try:
        return credentials.get_frozen_credentials()
    except Exception as error:
        # Such as ClientError from STS, or OSError from reading the web identity token.
        raise credentials_error(error) from error


def sign(
    url: str,
    headers: Mapping[str, str],
    sha256: str,
    *,
    credentials: ReadOnlyCredentials,
    scope: str,
    at: datetime,
) -> dict[str, str]:
    """Return the headers of a PUT with those of Signature Version 4 added.

    The names in `headers` must be lower-case, and the parameters of `url` sorted by name.
    `sha256` is the body's, in hexadecimal; `scope` is the credential scope without its
    date; `at` is in UTC.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    moment = at.strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    signed = {
        **headers,
        "host": host_of(parts),
        "x-amz-content-sha256": sha256,
        "x-amz-date": moment,
    }
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = sorted(signed)
    request = f"PUT\n{parts.path}\n{parts.query}\n"
    for name in names:
        request += f"{name}:{' '.join(signed[name].split())}\n"
    request += f"\n{';'.join(names)}\n{sha256}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    dated_scope = f"{moment[:8]}/{scope}"
    text = f"{_ALGORITHM}\n{moment}\n{dated_scope}\n{digest}".encode()
    key = _signing_key(credentials.secret_key, dated_scope)
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{dated_scope},"
        f" SignedHeaders={';'.join(names)},"
        f" Signature={hmac.digest(key, text, 'sha256').hex()}"
    )
    return signed


@lru_cache(maxsize=8)
def _signing_key(secret: str, dated_scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in dated_scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def etag_and_version(etag: str, version_id: str | None) -> tuple[str, str]:
    """Return the ETag without quotes, and the version id, of an answer.

    Raises `ValueError` if S3 cannot have sent them: a connection that broke within the
    header section leaves half an ETag.
    """
    version = version_id or ""
    if not _ETAG.fullmatch(etag) or not _VERSION.fullmatch(version):
        raise ValueError("the ETag or version id is malformed")
    # Some buckets without versioning send the word null.
    return etag.strip('"'), "" if version == "null" else version
