"""One configuration for every request to the store, and what is built from it."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies, parse_timestamp
from urllib3 import ProxyManager, make_headers

from mirrorsite.aws_configuration import ca_bundle
from mirrorsite.metrics import watch_store
from uploads.exceptions import (
    StoreCredentialsError,
    StoreError,
    StoreRedirectError,
    StoreUnavailableError,
)
from uploads.storage.errors import (
    credentials_error,
    error_from_status,
    frozen_credentials,
    translate_errors,
    unreadable_answer,
)
from uploads.storage.http_client import HTTPClient
from uploads.storage.signed_puts import SignedPuts

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: The parameters that request the next page of a listing, and the members with them.
_MARKERS = {
    "list_objects_v2": {"ContinuationToken": "NextContinuationToken"},
    "list_object_versions": {
        "KeyMarker": "NextKeyMarker",
        "VersionIdMarker": "NextVersionIdMarker",
    },
    "list_multipart_uploads": {
        "KeyMarker": "NextKeyMarker",
        "UploadIdMarker": "NextUploadIdMarker",
    },
}
#: Called before each further attempt, with the number and error of the failed one.
OnRetry = Callable[[int, StoreError], None]
#: How long a failure to build the client is cached.
FAILURE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfiguration:
    """How the store is reached. Timeouts are in seconds."""

    bucket_name: str
    region_name: str
    #: None means AWS.
    endpoint_url: str | None = None
    #: Without keys, botocore looks for credentials: a profile, a role of the pod or host.
    access_key: str | None = None
    secret_key: str | None = None
    connect_timeout: float = 2.0
    read_timeout: float = 5.0
    #: How many times one request is sent, at most.
    max_attempts: int = 2

    def session(self) -> botocore.session.Session:
        session = botocore.session.Session()
        if self.access_key:
            session.set_credentials(
                self.access_key,
                self.secret_key or "",
                os.environ.get("AWS_SESSION_TOKEN", "").strip(),
            )
        # For the clients of token services, which botocore creates by itself.
        session.set_default_client_config(
            Config(
                connect_timeout=self.connect_timeout,
                read_timeout=self.read_timeout,
                retries={"mode": "standard", "total_max_attempts": 1},
            )
        )
        # boto3 tries several formats for each timestamp of a listing, which takes two
        # thirds of its time.
        parsers = session.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=parse_store_time)
        return session

    def client_config(self) -> Config:
        # On AWS, only virtual-hosted addressing gives presigned URLs of the regional
        # host; S3-compatible stores need the bucket in the path.
        s3: dict[str, Any] = {
            "addressing_style": "path" if self.endpoint_url else "virtual",
            "us_east_1_regional_endpoint": "regional",
        }
        options: dict[str, Any] = {
            "s3": s3,
            # Only `endpoint_url` counts, not AWS_ENDPOINT_URL and similar variables.
            "ignore_configured_endpoint_urls": True,
            "signature_version": "s3v4",
            # Attempts are counted here: botocore does not report whether an earlier
            # one, whose answer was lost, may have been carried out.
            "retries": {"mode": "standard", "total_max_attempts": 1},
            # The default CRC32 trailer breaks several S3-compatible stores; each
            # body has an explicit SHA-256 instead.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        if self.endpoint_url:
            s3["use_accelerate_endpoint"] = False  # only AWS has one
        return Config(**options)


@dataclass(frozen=True, slots=True)
class Transport:
    """Sends the requests of all threads to one store, for any of its buckets."""

    client: S3Client
    http: HTTPClient
    credentials: Credentials
    user_agent: str

    def close(self) -> None:
        self.client.close()
        self.http.close()


class StoreClient:
    """Requests to one bucket; raises nothing but `StoreError`.

    The transport is built at the first request, or by a later one if there were no
    credentials.
    """

    def __init__(self, configuration: StoreConfiguration) -> None:
        self.configuration = configuration
        self.bucket = configuration.bucket_name
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        self._signed_puts: SignedPuts | None = None
        self._failure: StoreUnavailableError | None = None
        self._failure_until = 0.0

    @property
    def transport(self) -> Transport:
        if self._transport is None:
            with self._lock:
                if self._transport is None:
                    self._transport = self._new_transport()
        return self._transport

    def _new_transport(self) -> Transport:
        # Otherwise each thread that waited for the lock would repeat a slow failure.
        if self._failure is not None and time.monotonic() < self._failure_until:
            raise self._failure
        try:
            return _build_transport(self.configuration)
        except StoreUnavailableError as error:
            self._failure = error
            self._failure_until = time.monotonic() + FAILURE_SECONDS
            raise

    def use_transport(self, transport: Transport | None) -> None:
        """Send through `transport`, which was built for another bucket of this store."""
        self._transport = transport
        self._signed_puts = None

    @property
    def signed_puts(self) -> SignedPuts:
        """The client for bodies; see `uploads.storage.signed_puts`."""
        if self._signed_puts is None:
            # botocore decides the host, path and region of a bucket; they are read from
            # a URL that it signs.
            presigned_url = self.run_once(
                lambda s3: s3.generate_presigned_url(
                    "put_object", Params={"Bucket": self.bucket, "Key": "key"}
                )
            )
            self._signed_puts = SignedPuts(
                presigned_url=presigned_url,
                http=self.transport.http,
                credentials=self.transport.credentials,
                user_agent=self.transport.user_agent,
            )
        return self._signed_puts

    def run_once(self, request: Callable[[S3Client], T]) -> T:
        """Call `request` with the client, without retries."""
        # Refresh the credentials first: inside the request, a failure of the token
        # service would look like one of the store.
        frozen_credentials(self.transport.credentials)
        return translate_errors(lambda: request(self.transport.client))

    def run(self, request: Callable[[S3Client], T]) -> T:
        """Send a request up to `max_attempts` times while the store is unavailable."""
        return self.with_retries(lambda: self.run_once(request))

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
                raise  # nothing was sent; the retries are for the store only
            except StoreUnavailableError as error:
                # Full jitter: after an outage, clients should not all retry at the same
                # moment.
                time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311
                on_retry(attempt, error)
        return request()

    def pages(self, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing; each request may be repeated."""
        marker: dict[str, str] = {}
        while True:
            page = self.run(
                lambda s3, marker=marker: getattr(s3, operation)(  # type: ignore[misc]
                    Bucket=self.bucket, **parameters, **marker
                )
            )
            yield page
            if not page.get("IsTruncated"):
                return
            # A page that ends with a key's last version has no marker for versions.
            following = {
                name: page[at]
                for name, at in _MARKERS[operation].items()
                if page.get(at)
            }
            if following in ({}, marker):
                raise unreadable_answer("the next page's marker is missing or repeated")
            marker = following

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _build_transport(configuration: StoreConfiguration) -> Transport:
    try:
        session = configuration.session()
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
    except Exception as error:
        raise credentials_error(error) from error
    try:
        certificates = ca_bundle(session) or get_cert_path(True)
        client = boto3.Session(botocore_session=session).client(
            "s3",
            region_name=configuration.region_name,
            endpoint_url=configuration.endpoint_url,
            config=configuration.client_config(),
            verify=certificates,
        )
        client.meta.events.register(
            "response-received.s3", partial(_refuse_redirects, client.meta.region_name)
        )
        watch_store(client)
        http = _http_client(configuration, client.meta.endpoint_url, certificates)
        # botocore sends a request by itself only if no handler returns an answer.
        send: Any = http.send_prepared
        client.meta.events.register_last("before-send", send)
    except Exception as error:
        raise StoreUnavailableError(
            f"the object store's client cannot be built: {error}", outcome_unknown=False
        ) from error
    return Transport(client, http, credentials, session.user_agent())


def _http_client(
    configuration: StoreConfiguration, url: str, certificates: str | None
) -> HTTPClient:
    """Return the HTTP client for the store at `url`."""
    proxy = get_environ_proxies(url).get(urlsplit(url).scheme)
    return HTTPClient(
        certificates=certificates,
        proxy=_proxy_manager(proxy) if proxy else None,
        connect_timeout=configuration.connect_timeout,
        read_timeout=configuration.read_timeout,
    )


def _proxy_manager(proxy: str) -> ProxyManager:
    proxy = proxy if "//" in proxy else f"//{proxy}"
    parts = urlsplit(proxy, scheme="http")
    headers = None
    if parts.username and parts.password:
        headers = make_headers(
            proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password)}"
        )
    return ProxyManager(parts.geturl(), proxy_headers=headers)


def _refuse_redirects(
    configured_region: str,
    response_dict: dict[str, Any] | None,
    parsed_response: dict[str, Any] | None,
    **kwargs: Any,
) -> None:
    """Raise before botocore follows a redirect, which it may do endlessly.

    https://github.com/boto/botocore/blob/develop/botocore/utils.py S3RegionRedirectorv2
    """
    if response_dict is None:
        return
    status = response_dict["status_code"]
    error = (parsed_response or {}).get("Error", {})
    code = error.get("Code", str(status))
    region = response_dict["headers"].get("x-amz-bucket-region") or error.get("Region")
    if status == 400 and region and region != configured_region:
        code = "PermanentRedirect"  # the answer to HEAD has no code
    if status >= 300:
        found = error_from_status(status, code, region or "")
        if isinstance(found, StoreRedirectError):
            raise found


def parse_store_time(value: Any) -> datetime:
    """Parse a timestamp as botocore does, but faster where it is ISO 8601."""
    if isinstance(value, str) and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    parsed: datetime = parse_timestamp(value)
    return parsed
