"""What a start makes of its environment."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from mirrorsite.environment import Environment
from tests.support import ROOT, manage, run_program
from tests.uploads.audit.trails import KEY
from uploads.audit.keys import SigningKey

ENDPOINT = "AWS_ENDPOINT_URL_S3 is not the address of an object store; set it to one"
#: The least a production start needs.
PRODUCTION = {
    "PATH": os.environ["PATH"],
    "SECRET_KEY": "abcdefghijklmnopqrstuvwxyz0123456789" * 2,
    "ALLOWED_HOSTS": "mirror.example.org",
    "TRUSTED_PROXIES": "1",
    "DATABASE_URL": "postgresql://user:password@127.0.0.1:5432/mirrorsite",
    "AWS_STORAGE_BUCKET_NAME": "uploads",
}


def gunicorn(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    config = ["--config", "python:mirrorsite.gunicorn_conf"]
    return run_program(
        [sys.executable, "-m", "gunicorn", *config, *arguments],
        env=PRODUCTION | environment,
        timeout=60,
    )


class TestEnvironment:
    def test_text(self):
        assert Environment({}).text("AWS_DEFAULT_REGION") == "us-east-1"
        given = Environment({"AWS_DEFAULT_REGION": " eu-1 "})
        assert given.text("AWS_DEFAULT_REGION") == "eu-1"
        with pytest.raises(ImproperlyConfigured, match="SECRET_KEY holds bytes") as e:
            Environment({"SECRET_KEY": "secret\udcff"}).text("SECRET_KEY")
        assert "secret" not in str(e.value)

    def test_boolean(self):
        def read(text: str) -> bool:
            return Environment({"DEBUG": text}).boolean("DEBUG")

        assert all(map(read, ["true", "1", "YES", "on"]))
        assert not any(map(read, ["false", "0", "No", "off", ""]))
        with pytest.raises(ImproperlyConfigured, match="DEBUG is 'ja'; set it to"):
            read("ja")

    @pytest.mark.parametrize(
        "text", ["localhost", ":80", "[::1:80", "::1:80", "a:0", "a:65536", "a b:80"]
    )
    def test_address(self, text):
        for right in ("localhost:80", "0.0.0.0:65535", "[::1]:80", "[fd00::a]:1"):
            assert Environment({"BIND": right}).address("BIND") == right
        with pytest.raises(ImproperlyConfigured, match="set it to host:port, such as"):
            Environment({"BIND": text}).address("BIND")

    @pytest.mark.parametrize("text", ["-1", "11", "1.5", "x", "nan", "inf"])
    def test_numbers__outside(self, text):
        name = "STORE_MAX_ATTEMPTS"
        with pytest.raises(ImproperlyConfigured, match="a whole number from 0 to 10"):
            Environment({name: text}).integer(name, least=0, most=10)
        with pytest.raises(ImproperlyConfigured, match="seconds from 2 to 10"):
            Environment({name: text}).seconds(name, least=2, most=10)


class TestStart:
    """A wrong environment stops the start with one sentence that says what to set."""

    @pytest.fixture
    def start(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Return a function that reads the settings again from these variables."""

        def start(**environment: str) -> dict[str, Any]:
            monkeypatch.setattr(os, "environ", PRODUCTION | environment)
            return runpy.run_path(str(ROOT / "mirrorsite/settings.py"))

        return start

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("SECRET_KEY", "", "has 0 characters; set it to at least 50"),
            ("SECRET_KEY", "short", "has 5 characters; set it to at least 50"),
            ("ALLOWED_HOSTS", "*", "ALLOWED_HOSTS holds '*'; set it to the host names"),
            ("ALLOWED_HOSTS", ",", "ALLOWED_HOSTS holds ''; set it to the host names"),
            ("ALLOWED_HOSTS", "https://a.org", "set it to the host names"),
            ("ALLOWED_HOSTS", "a.org:443", "ALLOWED_HOSTS holds 'a.org:443'; set it"),
            ("CSRF_TRUSTED_ORIGINS", "a.org", "set each origin to its scheme and host"),
            ("CSRF_TRUSTED_ORIGINS", "https://a.org/", "holds 'https://a.org/'; set"),
            ("CSRF_TRUSTED_ORIGINS", "https://[a", "holds 'https://[a'; set each"),
            ("CSRF_TRUSTED_ORIGINS", "https://A.org", "holds 'https://A.org'; set"),
            ("AWS_STORAGE_BUCKET_NAME", "", "AWS_STORAGE_BUCKET_NAME is not set. The"),
            ("AWS_ACCESS_KEY_ID", "only-one", "set both, or neither"),
            ("AWS_ENDPOINT_URL_S3", "127.0.0.1:1", ENDPOINT),
            ("AWS_ENDPOINT_URL_S3", "http://host:port", ENDPOINT),
            ("AWS_ENDPOINT_URL_S3", "http://host:0", ENDPOINT),
            ("AWS_ENDPOINT_URL_S3", "http://[host", ENDPOINT),
            ("AWS_ENDPOINT_URL_S3", "http://u:hush@host", ENDPOINT),
            ("AWS_ENDPOINT_URL_S3", "ftp://u:hush@host", ENDPOINT),
            ("AWS_ENDPOINT_URL_S3", "http://u:hush@host:x", ENDPOINT),
            ("AWS_ENDPOINT_URL_S3", "http://a\nb", ENDPOINT),
            ("AWS_ENDPOINT_URL_S3", "http://host?hush=1", ENDPOINT),
            ("AWS_STORAGE_BUCKET_NAME", "Our Bucket", "set it to the name of a bucket"),
            ("AWS_DEFAULT_REGION", "eu west", "set it to the name of a region"),
            ("METRICS_BIND", "127.0.0.1:4545", "set METRICS_BIND to another port"),
            ("DATABASE_URL", "", "DATABASE_URL is not set. PostgreSQL, as"),
            (
                "DATABASE_URL",
                "mysql://host/name",
                "DATABASE_URL is not a PostgreSQL URL",
            ),
            ("DATABASE_URL", "nonsense", "DATABASE_URL cannot be read; set it to"),
            ("DATABASE_URL", "postgresql://u:hush@host", "names no database"),
            ("DATABASE_URL", "postgresql://u:hush@h/n?sslmod=x", 'option "sslmod"'),
            ("UPLOAD_MAX_BYTES", "83886080001", "UPLOAD_MAX_BYTES is '83886080001'"),
            ("UPLOAD_AUTH", "closed", "set it to one of open, token"),
            ("UPLOAD_RATE_LIMIT", "60", "to off or a number of requests"),
            ("CACHE_URL", "memcached://host", "CACHE_URL cannot be read; set it to"),
            (
                "CACHE_URL",
                "redis://host?ssl_cert_reqs=none",
                "CACHE_URL cannot be read",
            ),
            ("LOG_FORMAT", "xml", "LOG_FORMAT is 'xml'; set it to one of json, text"),
            ("WEB_THREADS", "many", "WEB_THREADS is 'many'; set it to"),
            ("HTTPS_ONLY", "perhaps", "is 'perhaps'; set it to true or false"),
            ("AWS_PROFILE", "missing", "profile (missing)"),
            ("AUDIT_SIGNING_KEY", "hush", "32 bytes in base64; set it to"),
            ("AUDIT_PUBLIC_KEYS", "hush", "entry 1 of AUDIT_PUBLIC_KEYS is malformed"),
            ("AUDIT_PUBLIC_KEYS", "id:hush", "set each entry to <key id>:<32 bytes in"),
            (
                "AUDIT_PUBLIC_KEYS",
                f"00{KEY.public_text()[2:]}",
                f"its key is {KEY.id};",
            ),
            ("AUDIT_RETENTION_DAYS", "-1", "a whole number from 0 to 36500"),
        ],
    )
    def test_wrong_value(self, start, name, value, sentence):
        with pytest.raises(ImproperlyConfigured) as caught:
            start(**{name: value})
        told = str(caught.value)
        assert sentence in told
        assert "\n" not in told
        assert "hush" not in told

    def test_private_key_instead_of_the_public_one__not_printed(self, start):
        with pytest.raises(
            ImproperlyConfigured, match=f"entry 1 of .* has the id '{KEY.id}'"
        ) as caught:
            start(AUDIT_PUBLIC_KEYS=f"{KEY.id}:{KEY.secret_text()}")
        assert KEY.secret_text() not in str(caught.value)

    def test_hosts_and_origins__what_django_accepts(self, start):
        hosts, origins = ".a.org,B.org,[::1]", "https://*.a.org,http://[::1]:4545"
        found = start(ALLOWED_HOSTS=hosts, CSRF_TRUSTED_ORIGINS=origins)
        assert found["ALLOWED_HOSTS"] == hosts.split(",")
        assert found["CSRF_TRUSTED_ORIGINS"] == origins.split(",")

    def test_endpoint__with_space_around_it(self, start):
        """As from a file that ends with a line feed."""
        storages = start(AWS_ENDPOINT_URL_S3=" http://127.0.0.1:1\n")["STORAGES"]
        assert storages["default"]["OPTIONS"]["endpoint_url"] == "http://127.0.0.1:1"

    def test_manage__one_sentence_and_a_status_of_its_own(self):
        done = manage("check", environment=PRODUCTION | {"LOG_FORMAT": "xml"})
        assert done.returncode == 78
        assert done.stderr == (
            "mirrorsite is misconfigured: LOG_FORMAT is 'xml';"
            " set it to one of json, text.\n"
        )

    def test_gunicorn__one_sentence_too(self):
        done = gunicorn(BIND="nowhere")
        assert done.returncode == 1
        assert done.stderr.strip() == (
            "mirrorsite cannot start: BIND is 'nowhere';"
            " set it to host:port, such as 127.0.0.1:4545."
        )

    def test_gunicorn__what_it_understands(self):
        done = gunicorn("--print-config", WEB_CONCURRENCY="3", BIND="[::1]:4546")
        lines = [line.partition("=") for line in done.stdout.splitlines()]
        understood = {name.strip(): value.strip() for name, _, value in lines}
        expected = {
            "bind": "['[::1]:4546']",
            "control_socket_disable": "True",
            "forwarded_allow_ips": "[]",
            "graceful_timeout": "25",
            "keepalive": "75",
            # Files of metrics would grow with each worker that is replaced.
            "max_requests": "0",
            "workers": "3",
        }
        assert {name: understood.get(name) for name in expected} == expected

    def test_production__deploy_check_is_clean(self):
        other = SigningKey(b"o" * 32)
        environment = PRODUCTION | {
            "AUDIT_SIGNING_KEY": KEY.secret_text(),
            "AUDIT_PUBLIC_KEYS": f"{KEY.public_text()}, {other.public_text()}",
        }
        deploy = ("check", "--deploy", "--fail-level", "WARNING")
        done = manage(*deploy, environment=environment)
        assert (done.returncode, done.stderr.strip()) == (0, "")
        assert "no issues" in done.stdout
        done = manage(*deploy, environment=environment | {"TRUSTED_PROXIES": "0"})
        assert done.returncode == 1
        assert "Set TRUSTED_PROXIES to the number of proxies in front" in done.stderr
