"""PutObject of a small body by obstore, for a tenth of what the client takes.

boto3 spends 1.0 to 1.5 ms of processor on a small PUT, holding Python's lock for most
of it; obstore (Rust's object_store) 0.2, most of it beside the lock. Where to, with
which credentials and within which time is the client's word; the request is signed
with Signature Version 4 over the body's SHA-256, which goes with it as its checksum
too, creates and never overwrites (`If-None-Match: *`), and is sent once. What the
store answers is judged by `uploads.storage.answers`, as the client's answers are.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from mirrorsite.metrics import observe_store
from uploads.exceptions import StoreUnavailableError
from uploads.storage.answers import judged

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore.store import S3Credential

#: Larger bodies go by the client, whose time limit is for each read, not for all.
QUICK_BYTES = 256 * 1024
#: How long credentials are used before they are asked for again, at most; botocore
#: hands out none that end sooner.
_CREDENTIALS_FOR = timedelta(minutes=10)
_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]+)</Code>")
#: What the HTTP library says when no connection came about: nothing was sent then.
_NOT_CONNECTED = ("tcp connect error", "dns error", "client error (Connect)")


class NotHandledError(Exception):
    """The store asks for what only the client does; nothing was carried out."""


@dataclass(frozen=True, slots=True)
class PutAnswer:
    """What the store says of an object it has taken."""

    etag: str
    version_id: str


class QuickPut:
    """Puts small objects into one bucket, where and as `client` would."""

    def __init__(
        self, client: S3Client, bucket: str, *, connect: float, read: float
    ) -> None:
        """`connect` and `read` are timeouts in seconds; `read` is for the whole answer.

        Raises `NotHandledError` where the client has credentials, a proxy or
        certificates that are not known here.
        """
        inner: Any = client
        credentials = inner._request_signer._credentials
        session = inner._endpoint.http_session
        # The client's rules decide on the address: path or host style, which region.
        address = client.generate_presigned_url(
            "put_object", Params={"Bucket": bucket, "Key": "key"}
        )
        url = urlsplit(address)
        if session._proxy_config.proxy_url_for(address):
            raise NotHandledError("a proxy is set")
        if url.scheme == "https" and session._verify is not True:
            raise NotHandledError("other certificates are set")

        def current() -> S3Credential:
            frozen = credentials.get_frozen_credentials()
            return {
                "access_key_id": frozen.access_key,
                "secret_access_key": frozen.secret_key,
                "token": frozen.token,
                "expires_at": datetime.now(UTC) + _CREDENTIALS_FOR,
            }

        self._store = S3Store(
            bucket,
            endpoint=f"{url.scheme}://{url.netloc}",
            virtual_hosted_style_request=url.path == "/key",
            region=client.meta.region_name,
            checksum_algorithm="SHA256",
            conditional_put="etag",
            credential_provider=current,
            client_options={
                "allow_http": url.scheme == "http",
                "connect_timeout": timedelta(seconds=connect),
                "timeout": timedelta(seconds=connect + read),
            },
            retry_config={"max_retries": 0},
        )

    @staticmethod
    def suits(bucket: str, size: int, metadata: Mapping[str, str]) -> bool:
        """Tell whether a request is plain enough.

        Access points (ARNs) and directory buckets (`--x-s3`) sign in other ways.
        """
        return (
            size <= QUICK_BYTES
            and not bucket.startswith("arn:")
            and not bucket.endswith("--x-s3")
            and all(value.isascii() for value in metadata.values())
        )

    def put(
        self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]
    ) -> PutAnswer:
        """Create one object.

        Raises `StoreError` as a PUT by the client does, and `NotHandledError` where
        the client would turn to another address.
        """
        started = perf_counter()
        try:
            # One request, not parts at a time.
            found = self._store.put(
                key,
                body,
                attributes={"Content-Type": content_type, **metadata},
                mode="create",
                use_multipart=False,
            )
        except (BaseError, OSError) as error:
            self._raise(str(error), error, perf_counter() - started)
        observe_store("PutObject", "2xx", perf_counter() - started)
        return PutAnswer(
            etag=(found["e_tag"] or "").strip('"'), version_id=found["version"] or ""
        )

    @staticmethod
    def _raise(text: str, error: Exception, seconds: float) -> None:
        match = _STATUS.search(text)
        if match is None:
            observe_store("PutObject", "no answer", seconds)
            if any(sign in text for sign in _NOT_CONNECTED):
                raise StoreUnavailableError(
                    "the object store cannot be reached", outcome_unknown=False
                ) from error
            raise StoreUnavailableError(
                "the object store did not answer", outcome_unknown=True
            ) from error
        status = int(match[1])
        observe_store("PutObject", f"{status // 100}xx", seconds)
        found = _CODE.search(text)
        code = found[1] if found else str(status)
        if 300 <= status < 400 or code == "AuthorizationHeaderMalformed":
            raise NotHandledError(code) from error  # another region
        raise judged(status, code) from error
