"""The process environment as typed values; every variable is declared here once.

A value that is missing or malformed, or that contradicts another, raises
`ImproperlyConfigured` with a message on what to set. A test compares `VARIABLES` with
the table of docs/settings.md.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}

#: S3 accepts up to 10,000 parts of an object; parts here are 8 MiB.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MULTIPART_LIMIT_BYTES = 10_000 * 8 * 1024 * 1024


class Variable(NamedTuple):
    """An environment variable: its default as text, and its meaning."""

    default: str | None
    meaning: str


VARIABLES: dict[str, Variable] = {
    "SECRET_KEY": Variable(
        None, "Django's signing key, at least 50 characters; required unless DEBUG."
    ),
    "DEBUG": Variable("false", "Django's debug mode; never in production."),
    "ALLOWED_HOSTS": Variable(
        "localhost,127.0.0.1,[::1]",
        "Host names the service answers to, separated by commas; no *.",
    ),
    "CSRF_TRUSTED_ORIGINS": Variable(
        "", "Origins that may post to the admin, such as https://mirror.example.org."
    ),
    "HTTPS_ONLY": Variable(
        "true", "Redirect HTTP to HTTPS, send HSTS, mark cookies secure."
    ),
    "TRUSTED_PROXIES": Variable(
        "0", "Number of proxies in front; only their X-Forwarded-* headers are trusted."
    ),
    "DATABASE_URL": Variable(
        None,
        "PostgreSQL, as postgresql://user:password@host:5432/name; required. The tables"
        " are in its schema `public`, unless `?options=-c%20search_path%3D…` names"
        " another.",
    ),
    "AWS_STORAGE_BUCKET_NAME": Variable(
        None, "The bucket that takes the uploads; required."
    ),
    "AWS_DEFAULT_REGION": Variable("us-east-1", "The bucket's region."),
    "AWS_ACCESS_KEY_ID": Variable(
        "",
        "Access key for the bucket. Leave it and AWS_SECRET_ACCESS_KEY empty to use the"
        " role of the pod or host.",
    ),
    "AWS_SECRET_ACCESS_KEY": Variable("", "The secret of AWS_ACCESS_KEY_ID."),
    "AWS_ENDPOINT_URL_S3": Variable(
        "", "Address of an S3-compatible store; empty means AWS."
    ),
    "STORE_CONNECT_TIMEOUT_SECONDS": Variable(
        "2", "Longest wait for a connection to the store."
    ),
    "STORE_READ_TIMEOUT_SECONDS": Variable(
        "5",
        "Longest wait for a complete answer from the store; content gets a second more"
        " for each 32 KiB.",
    ),
    "STORE_MAX_ATTEMPTS": Variable(
        "2", "How many times one request to the store is tried, 1 to 5."
    ),
    "UPLOAD_MAX_BYTES": Variable(
        "67108864",
        "Largest upload in bytes (default 64 MiB); at most 10,000 parts of 8 MiB.",
    ),
    "UPLOAD_AUTH": Variable(
        "open",
        "open, or token: then POST /api/upload-random needs a token that may upload.",
    ),
    "UPLOAD_RATE_LIMIT": Variable(
        "600/minute",
        "POSTs allowed to a client per second, minute, hour or day; or off.",
    ),
    "CACHE_URL": Variable(
        "",
        "Shared store of the rate limit's counters: redis://host:6379/0, or database;"
        " empty: each worker counts alone.",
    ),
    "AUDIT_SIGNING_KEY": Variable(
        "",
        "Ed25519 seed that signs the seals, 32 bytes in base64; for the sealer only.",
    ),
    "AUDIT_PUBLIC_KEYS": Variable(
        "", "Keys whose seals are trusted, as id:base64, separated by commas."
    ),
    "AUDIT_RETENTION_DAYS": Variable(
        "365",
        "How long Object Lock keeps the audit trail's copies; 0 leaves it to the bucket.",
    ),
    "BIND": Variable("127.0.0.1:4545", "Address and port gunicorn listens on."),
    "WEB_CONCURRENCY": Variable("", "gunicorn workers; default two per processor."),
    "WEB_THREADS": Variable(
        "6", "Threads per worker; two are reserved for requests that do not touch S3."
    ),
    "GRACEFUL_TIMEOUT_SECONDS": Variable(
        "25", "How long a stopping worker has to finish its requests."
    ),
    "METRICS_BIND": Variable(
        "127.0.0.1:9464", "Address and port of the Prometheus metrics, or off."
    ),
    "LOG_FORMAT": Variable("json", "json, one object per line, or text for people."),
    "LOG_LEVEL": Variable("INFO", "DEBUG, INFO, WARNING, ERROR or CRITICAL."),
    "STATIC_ROOT": Variable(".local/static", "Where collectstatic puts the files."),
    "CANARY_BASE_URL": Variable(
        "http://127.0.0.1:4545", "The service that `manage.py canary` uses."
    ),
    "CANARY_TOKEN": Variable(
        "", "API token of `manage.py canary`, to read and verify."
    ),
}


def _wrong(name: str, value: str, wanted: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} is {value!r}; set it to {wanted}.")


def _base64(value: str) -> bytes:
    """Decode strict base64; return no bytes for malformed text."""
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""


class Environment:
    """Reads `VARIABLES` as typed values; from the process environment by default."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = os.environ if values is None else values

    def text(self, name: str) -> str:
        """Return the value without surrounding space, or the declared default."""
        value = self._values.get(name, "").strip()
        try:
            value.encode()
        except UnicodeEncodeError as error:
            # The value is left out: it may be a secret.
            raise ImproperlyConfigured(
                f"{name} holds bytes that are not UTF-8; set it to text."
            ) from error
        return value or VARIABLES[name].default or ""

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise ImproperlyConfigured(f"{name} is not set. {VARIABLES[name].meaning}")
        return value

    def boolean(self, name: str) -> bool:
        value = self.text(name)
        try:
            return ConfigParser.BOOLEAN_STATES[value.lower()]
        except KeyError as error:
            raise _wrong(name, value, "true or false") from error

    def integer(self, name: str, *, least: int, most: int) -> int:
        return int(self._number(name, int, "a whole number", least, most))

    def address(self, name: str) -> str:
        """Return the value if it is `host:port`."""
        value = self.text(name)
        match = re.fullmatch(
            r"(?:[\w.-]+|\[[\da-fA-F:.]+\]):(\d{1,5})", value, re.ASCII
        )
        if match is None or not 0 < int(match[1]) < 65536:
            raise _wrong(name, value, "host:port, such as 127.0.0.1:4545")
        return value

    def matching(self, name: str, pattern: str, wanted: str) -> str:
        """Return a required value that matches `pattern`; `wanted` describes the pattern."""
        value = self.required(name)
        if not re.fullmatch(pattern, value, re.ASCII):
            raise _wrong(name, value, wanted)
        return value

    def seconds(self, name: str, *, least: float, most: float) -> float:
        return self._number(name, float, "a number of seconds", least, most)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in allowed:
            raise _wrong(name, value, f"one of {', '.join(allowed)}")
        return value

    def rate(self, name: str) -> tuple[int, int] | None:
        """Return a number of requests and a period in seconds, or None for `off`."""
        value = self.text(name)
        if value == "off":
            return None
        count, _, unit = value.partition("/")
        if not re.fullmatch("[1-9][0-9]{0,8}", count) or unit not in _UNIT_SECONDS:
            wanted = f"a number of requests and a unit ({', '.join(_UNIT_SECONDS)})"
            raise _wrong(name, value, f"off or {wanted}, such as 60/minute")
        return int(count), _UNIT_SECONDS[unit]

    def entries(self, name: str) -> list[str]:
        """Return a comma-separated value as a list without empty entries."""
        return [entry.strip() for entry in self.text(name).split(",") if entry.strip()]

    def key_bytes(self, name: str) -> bytes | None:
        """Return 32 bytes given in base64, or None if there is no value."""
        value = self.text(name)
        if not value:
            return None
        key = _base64(value)
        if len(key) != 32:
            # The value is left out: it is meant to be a secret.
            raise ImproperlyConfigured(
                f"{name} is not 32 bytes in base64; set it to the output of"
                " head -c 32 /dev/urandom | base64."
            )
        return key

    def public_keys(self, name: str) -> dict[str, bytes]:
        """Return Ed25519 public keys by their ids (see uploads.audit.keys)."""
        keys = {}
        for number, entry in enumerate(self.entries(name), start=1):
            key_id, _, value = entry.partition(":")
            key = _base64(value)
            # Both messages leave out the key: it may be a private one by mistake.
            if len(key) != 32:
                raise ImproperlyConfigured(
                    f"entry {number} of {name} is malformed; set each entry to"
                    " <key id>:<32 bytes in base64>."
                )
            actual = hashlib.sha256(key).hexdigest()[:16]
            if key_id != actual:
                raise ImproperlyConfigured(
                    f"entry {number} of {name} has the id {key_id!r}, but the id of its"
                    f" key is {actual}; correct the id or the key."
                )
            keys[key_id] = key
        return keys

    def _number(
        self,
        name: str,
        convert: Callable[[str], float],
        kind: str,
        least: float,
        most: float,
    ) -> float:
        value = self.text(name)
        try:
            number = convert(value)
            if least <= number <= most:  # false for NaN too
                return number
        except ValueError:
            pass
        raise _wrong(name, value, f"{kind} from {least} to {most}")


def markdown_table() -> str:
    """Return the table of docs/settings.md."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, variable in VARIABLES.items():
        default = f"`{variable.default}`" if variable.default else ""
        rows.append(f"| `{name}` | {default} | {variable.meaning} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(markdown_table())  # noqa: T201
