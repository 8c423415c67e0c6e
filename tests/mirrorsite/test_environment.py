from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from mirrorsite.environment import Environment

ROOT = Path(__file__).resolve().parent.parent.parent
#: The least a production start needs.
PRODUCTION = {
    "SECRET_KEY": "abcdefghijklmnopqrstuvwxyz0123456789" * 2,
    "ALLOWED_HOSTS": "mirror.example.org",
    "TRUSTED_PROXIES": "1",
    "DATABASE_URL": "postgresql://user:password@127.0.0.1:5432/mirrorsite",
    "AWS_STORAGE_BUCKET_NAME": "uploads",
}


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run manage.py with exactly this environment."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


class TestEnvironment:
    def test_text__default_and_value(self):
        assert Environment({}).text("AWS_DEFAULT_REGION") == "us-east-1"
        assert Environment({"AWS_DEFAULT_REGION": " eu-1 "}).text(
            "AWS_DEFAULT_REGION"
        ) == ("eu-1")

    @pytest.mark.parametrize("text", ["true", "1", "YES", "on"])
    def test_boolean__true(self, text):
        assert Environment({"DEBUG": text}).boolean("DEBUG") is True

    @pytest.mark.parametrize("text", ["false", "0", "No", "off", ""])
    def test_boolean__false(self, text):
        assert Environment({"DEBUG": text}).boolean("DEBUG") is False

    @pytest.mark.parametrize("text", ["2", "ja", "truth"])
    def test_boolean__other(self, text):
        with pytest.raises(ImproperlyConfigured, match=f"DEBUG is '{text}'; set it to"):
            Environment({"DEBUG": text}).boolean("DEBUG")

    @pytest.mark.parametrize("text", ["-1", "11", "1.5", "x", "nan", "inf"])
    def test_integer__outside(self, text):
        with pytest.raises(ImproperlyConfigured, match="a whole number from 0 to 10"):
            Environment({"TRUSTED_PROXIES": text}).integer(
                "TRUSTED_PROXIES", least=0, most=10
            )

    @pytest.mark.parametrize("text", ["0", "61", "nan", "x"])
    def test_seconds__outside(self, text):
        name = "STORE_CONNECT_TIMEOUT_SECONDS"
        with pytest.raises(ImproperlyConfigured, match=r"from 0\.1 to 60"):
            Environment({name: text}).seconds(name, least=0.1, most=60)


class TestStart:
    """A wrong environment stops the start with one sentence that says what to set."""

    @pytest.mark.parametrize(
        ("name", "value", "sentence"),
        [
            ("SECRET_KEY", "", "set SECRET_KEY to at least 50 random characters"),
            (
                "SECRET_KEY",
                "short",
                "SECRET_KEY has 5 characters; set it to at least 50",
            ),
            ("ALLOWED_HOSTS", "*", "ALLOWED_HOSTS holds '*'; set it to the host names"),
            ("ALLOWED_HOSTS", ",", "ALLOWED_HOSTS holds ''; set it to the host names"),
            ("ALLOWED_HOSTS", "https://a.org", "set it to the host names"),
            ("CSRF_TRUSTED_ORIGINS", "a.org", "set each origin with its scheme"),
            ("AWS_STORAGE_BUCKET_NAME", "", "set AWS_STORAGE_BUCKET_NAME"),
            ("AWS_ACCESS_KEY_ID", "only-one", "set both, or neither"),
            ("AWS_ENDPOINT_URL_S3", "127.0.0.1:1", "starts with http:// or https://"),
            ("AWS_ENDPOINT_URL_S3", "http://", "starts with http:// or https://"),
            ("AWS_ENDPOINT_URL_S3", "http://host:port", "such as http://127.0.0.1"),
            ("AWS_STORAGE_BUCKET_NAME", "Our Bucket", "set it to the name of a bucket"),
            ("AWS_DEFAULT_REGION", "eu west", "set it to the name of a region"),
            ("METRICS_BIND", "127.0.0.1:4545", "set METRICS_BIND to another port"),
            ("DATABASE_URL", "", "set DATABASE_URL: PostgreSQL, as postgresql://user"),
            ("DATABASE_URL", "mysql://host/name", "is not an address of PostgreSQL"),
            ("DATABASE_URL", "sqlite:///db.sqlite3", "is not an address of PostgreSQL"),
            ("DATABASE_URL", "nonsense", "DATABASE_URL cannot be read; set it to"),
            ("DATABASE_URL", "postgresql://u:p@host", "DATABASE_URL names no database"),
            (
                "DATABASE_URL",
                "postgresql://u:p@host/n?sslmod=require",
                'option "sslmod"',
            ),
            ("UPLOAD_MAX_BYTES", "0", "UPLOAD_MAX_BYTES is '0'; set it to"),
            ("UPLOAD_MAX_BYTES", "83886080001", "UPLOAD_MAX_BYTES is '83886080001'"),
            ("UPLOAD_AUTH", "closed", "set it to one of open, token"),
            ("UPLOAD_RATE_LIMIT", "60", "such as 60/minute, or to off"),
            ("CACHE_URL", "memcached://host", "CACHE_URL cannot be read; set it to"),
            ("CACHE_URL", "redis://host:port", "CACHE_URL cannot be read; set it to"),
            ("LOG_FORMAT", "xml", "LOG_FORMAT is 'xml'; set it to one of json, text"),
            ("WEB_THREADS", "many", "WEB_THREADS is 'many'; set it to"),
            (
                "HTTPS_ONLY",
                "perhaps",
                "HTTPS_ONLY is 'perhaps'; set it to true or false",
            ),
        ],
    )
    def test_wrong_value(self, name, value, sentence):
        done = manage("check", **PRODUCTION | {name: value})

        assert done.returncode == 78
        assert sentence in done.stderr
        assert done.stderr.startswith("mirrorsite cannot start: ")
        assert len(done.stderr.strip().splitlines()) == 1

    def test_gunicorn__one_sentence_too(self):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "gunicorn",
                "--config",
                "python:mirrorsite.gunicorn_conf",
            ],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **PRODUCTION, "BIND": "nowhere"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        assert done.stderr.strip() == (
            "mirrorsite cannot start: BIND is 'nowhere';"
            " set it to address:port, such as 127.0.0.1:4545."
        )

    def test_gunicorn__what_it_understands(self):
        environment = {"WEB_CONCURRENCY": "3", "BIND": "[::1]:4546"}
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "gunicorn",
                "--config",
                "python:mirrorsite.gunicorn_conf",
                "--print-config",
            ],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **PRODUCTION, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
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
        done = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
        assert done.stderr.strip() == ""
        assert done.returncode == 0
        assert "no issues" in done.stdout

    def test_https_behind_no_proxy__deploy_check_tells(self):
        environment = PRODUCTION | {"TRUSTED_PROXIES": "0"}
        done = manage("check", "--deploy", "--fail-level", "WARNING", **environment)
        assert done.returncode == 1
        assert "Set TRUSTED_PROXIES to the number of proxies in front" in done.stderr
