"""Checks the configuration that botocore reads by itself; sends no request.

Besides the variables of `mirrorsite.environment`, botocore reads others (AWS_PROFILE,
AWS_CONFIG_FILE, AWS_CA_BUNDLE, …) and shared configuration files:
https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url
from django.core.exceptions import ImproperlyConfigured


def check_aws_configuration(endpoint_url: str | None) -> None:
    """Raise `ImproperlyConfigured` if no client can be built with this configuration.

    Removes an empty AWS_PROFILE or AWS_DEFAULT_PROFILE from the process environment.
    """
    if endpoint_url and not _is_valid_endpoint(endpoint_url):
        # The value is left out: it may hold a password.
        raise ImproperlyConfigured(
            "AWS_ENDPOINT_URL_S3 is not the address of an object store; set it to one such"
            " as http://127.0.0.1:8333 (http or https; an IP address, or a host name of"
            " letters, digits, dots and hyphens; no user name, no query)."
        )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if not re.fullmatch("[!-~]*", os.environ.get(name, "").strip()):
            # Keys and tokens are printable ASCII; a header could not carry other
            # characters. The message leaves the value out: it may be a secret.
            raise ImproperlyConfigured(
                f"{name} holds characters that a key cannot have; set it to the key alone."
            )
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        if os.environ.get(name) == "":  # botocore would look for a profile named ""
            del os.environ[name]
    session = botocore.session.Session()
    try:
        session.get_scoped_config()  # raises if the profile or a file cannot be used
        bundle = ca_bundle(session)
    except BotoCoreError as error:
        raise ImproperlyConfigured(
            f"the AWS configuration cannot be used ({str(error).rstrip('.')});"
            " correct AWS_PROFILE, or the file that AWS_CONFIG_FILE or"
            " AWS_SHARED_CREDENTIALS_FILE names."
        ) from error
    if bundle and not os.path.exists(bundle):
        raise ImproperlyConfigured(
            f"the CA bundle {bundle!r} does not exist; set AWS_CA_BUNDLE to a file of"
            " certificates, or leave it empty."
        )


def _is_valid_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # `port` raises ValueError if it is not a number up to 65535.
        # botocore refuses a query when it sends the first request.
        if parts.port == 0 or parts.username is not None or parts.query:
            return False
        is_valid_host = is_valid_endpoint_url(url) or is_valid_ipv6_endpoint_url(url)
    except ValueError:
        return False
    return bool(is_valid_host) and parts.scheme in {"http", "https"}


def ca_bundle(session: botocore.session.Session) -> str | None:
    """Return the path of the configured CA bundle, or None for botocore's own.

    In botocore's order: AWS_CA_BUNDLE or the shared configuration, then
    REQUESTS_CA_BUNDLE. Unlike botocore, it treats an empty value as not set.
    """
    configured: str | None = session.get_config_variable("ca_bundle")
    for path in (configured, os.environ.get("REQUESTS_CA_BUNDLE")):
        if path and path.strip():
            return path.strip()
    return None
