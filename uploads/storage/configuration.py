"""The configuration of all requests to the store, and the transport built from it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError
from botocore.httpsession import ProxyConfiguration
from botocore.httpsession import where as bundled_certificates
from botocore.loaders import Loader, create_loader
from botocore.utils import get_environ_proxies, parse_timestamp
from urllib3 import ProxyManager

from mirrorsite.aws_configuration import ca_bundle
from uploads.exceptions import StoreRedirectError, StoreUnavailableError
from uploads.storage.errors import (
    credentials_error,
    error_from_status,
    store_errors,
)
from uploads.storage.http_client import HTTPClient

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfiguration:
    """How the store is reached. Timeouts are in seconds."""

    bucket_name: str
    region_name: str
    #: None means AWS.
    endpoint_url: str | None = None
    #: Without keys, botocore uses those of a profile, or of the role of the pod or host.
    access_key: str | None = None
    secret_key: str | None = None
    connect_timeout: float = 2.0
    read_timeout: float = 5.0
    #: The most times that one request is sent.
    max_attempts: int = 2

    def session(self) -> botocore.session.Session:
        session = botocore.session.Session()
        session.register_component("data_loader", _loader())
        if self.access_key:
            session.set_credentials(
                self.access_key,
                self.secret_key or "",
                os.environ.get("AWS_SESSION_TOKEN", "").strip(),
            )
        # The session's default, so that it also applies to the clients that botocore creates
        # to get credentials. `StoreClient` retries, not botocore, which does not report
        # whether an earlier attempt may have been carried out.
        session.set_default_client_config(
            Config(
                connect_timeout=self.connect_timeout,
                read_timeout=self.read_timeout,
                retries={"mode": "standard", "total_max_attempts": 1},
            )
        )
        # boto3 tries several formats for each timestamp of a listing, which takes two
        # thirds of the listing's time.
        parsers = session.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=parse_store_time)
        return session

    def client_config(self) -> Config:
        # On AWS, only virtual-hosted addressing gives presigned URLs of the regional
        # host; S3-compatible stores need the bucket in the path, and have no
        # accelerated endpoint, which the AWS configuration file may ask for.
        addressing: dict[str, Any] = (
            {"addressing_style": "path", "use_accelerate_endpoint": False}
            if self.endpoint_url
            else {"addressing_style": "virtual"}
        )
        options: dict[str, Any] = {
            "s3": {"us_east_1_regional_endpoint": "regional", **addressing},
            # Use only `endpoint_url`, not AWS_ENDPOINT_URL and similar variables.
            "ignore_configured_endpoint_urls": True,
            "signature_version": "s3v4",
            # The default CRC32 trailer breaks several S3-compatible stores; each
            # body has an explicit SHA-256 instead.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        return Config(**options)


@dataclass(frozen=True, slots=True)
class Transport:
    """What all threads share to send requests to one bucket."""

    client: S3Client
    http: HTTPClient
    credentials: Credentials
    user_agent: str
    #: The bucket's URL; ends with a slash.
    url: str
    #: The credential scope of signatures without its date: "us-east-1/s3/aws4_request".
    scope: str


def build_transport(configuration: StoreConfiguration) -> Transport:
    try:
        session = configuration.session()
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        credentials.get_frozen_credentials()  # fetches them, if the provider is lazy
    except Exception as error:
        raise credentials_error(error) from error
    try:
        certificates = ca_bundle(session) or bundled_certificates()
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
        http = HTTPClient(
            certificates=certificates,
            proxy=_proxy(client.meta.endpoint_url),
            connect_timeout=configuration.connect_timeout,
            read_timeout=configuration.read_timeout,
        )
        # botocore does not send a request itself if a handler returns an answer.
        send: Any = http.send_prepared
        client.meta.events.register_last("before-send", send)
    except Exception as error:
        raise StoreUnavailableError(
            f"the object store's client cannot be built: {error}", outcome_unknown=False
        ) from error
    # botocore shows the bucket's URL and the credential scope only in a URL that it signs.
    parameters = {"Bucket": configuration.bucket_name, "Key": "key"}
    with store_errors():
        signed = client.generate_presigned_url("put_object", Params=parameters)
    url, _, query = signed.partition("?")
    credential = parse_qs(query)["X-Amz-Credential"][0]
    return Transport(
        client=client,
        http=http,
        credentials=credentials,
        user_agent=session.user_agent(),
        url=url.removesuffix("key"),
        scope="/".join(credential.split("/")[-3:]),
    )


def _proxy(url: str) -> ProxyManager | None:
    """Return the proxy that the environment names for `url`."""
    proxies = ProxyConfiguration(get_environ_proxies(url))
    proxy_url = proxies.proxy_url_for(url)
    if not proxy_url:
        return None
    headers = proxies.proxy_headers_for(proxy_url)
    return ProxyManager(proxy_url, proxy_headers=headers)


def _refuse_redirects(
    configured_region: str,
    response_dict: dict[str, Any] | None,
    parsed_response: dict[str, Any] | None,
    **kwargs: Any,
) -> None:
    """Raise `StoreRedirectError` for a redirect, before botocore follows it.

    If the answer does not name the region, botocore looks it up with HeadBucket; a
    redirect of that request starts another lookup, and so on indefinitely.
    https://github.com/boto/botocore/blob/develop/botocore/utils.py S3RegionRedirectorv2
    """
    if response_dict is None:
        return
    status = response_dict["status_code"]
    error = (parsed_response or {}).get("Error", {})
    code = error.get("Code", str(status))
    region = response_dict["headers"].get("x-amz-bucket-region") or error.get("Region")
    # S3 answers HEAD in the wrong region with 400, without a body and so without a code.
    if status == 400 and region and region != configured_region:
        code = "PermanentRedirect"
    if status >= 300:
        found = error_from_status(status, code, region or "")
        if isinstance(found, StoreRedirectError):
            raise found


@cache
def _loader() -> Loader:
    """Return the loader of botocore's service descriptions; reading them takes 0.2 s."""
    return create_loader()


def parse_store_time(value: Any) -> datetime:
    """Parse a timestamp as botocore does, but faster where it is ISO 8601."""
    if isinstance(value, str) and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    parsed: datetime = parse_timestamp(value)
    return parsed
