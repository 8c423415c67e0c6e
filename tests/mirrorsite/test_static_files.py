"""Static files: compressed, cached, and behind the same middleware as every page."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

STYLE = b"body { color: black }\n" * 100
PATH = "/static/style.css"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, settings: Any) -> Path:
    settings.STATIC_ROOT = str(tmp_path)
    (tmp_path / "style.css").write_bytes(STYLE)
    (tmp_path / "style.css.gz").write_bytes(gzip.compress(STYLE))
    (tmp_path / "empty.js").touch()
    return tmp_path


def content_of(response: Any) -> bytes:
    """Return the content; the test client closes the file at its end."""
    return b"".join(response)


class TestContent:
    def test_plain(self, client):
        response = client.get(PATH, headers={"Accept-Encoding": "identity"})
        assert content_of(response) == STYLE
        assert response.headers["Content-Type"] == 'text/css; charset="utf-8"'
        assert response.headers["Content-Length"] == str(len(STYLE))
        assert response.headers["Vary"] == "Accept-Encoding"
        assert "Content-Encoding" not in response.headers
        assert "Content-Disposition" not in response.headers
        assert "Access-Control-Allow-Origin" not in response.headers

    def test_gzip(self, client):
        response = client.get(PATH, headers={"Accept-Encoding": "br, gzip"})
        assert response.headers["Content-Encoding"] == "gzip"
        content = content_of(response)
        assert response.headers["Content-Length"] == str(len(content))
        assert gzip.decompress(content) == STYLE

    @pytest.mark.parametrize("wanted", ["0-0", "-1", "0-9", "9-", "5-2", "0-0,2-2"])
    def test_range__ignored(self, client, wanted):
        response = client.get(PATH, headers={"Range": f"bytes={wanted}"})
        assert (response.status_code, content_of(response)) == (200, STYLE)

    def test_empty(self, client):
        response = client.get("/static/empty.js")
        assert (response.status_code, content_of(response)) == (200, b"")

    def test_collected(self, root, settings, client):
        """A collected file is compressed, and found by its hash: it never changes."""
        settings.STATIC_ROOT = str(root / "collected")
        settings.STORAGES = settings.STORAGES | {
            "staticfiles": {"BACKEND": "mirrorsite.static_files.StaticStorage"}
        }
        call_command(
            "collectstatic",
            interactive=False,
            verbosity=0,
            ignore_patterns=["drf_spectacular_sidecar"],
        )
        (hashed,) = Path(settings.STATIC_ROOT).glob("admin/css/login.*.css")
        response = client.get(
            f"/static/admin/css/{hashed.name}", headers={"Accept-Encoding": "gzip"}
        )
        assert response.headers["Content-Encoding"] == "gzip"
        assert "immutable" in response.headers["Cache-Control"]
        assert gzip.decompress(content_of(response)) == hashed.read_bytes()
        response = client.get("/static/admin/css/login.css")
        content_of(response)
        assert response.headers["Cache-Control"] == "max-age=60, public"


class TestConditional:
    def headers_of(self, client: Client, **headers: str) -> Any:
        response = client.get(PATH, headers=headers)
        content_of(response)
        return response.headers

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_known__304(self, client, method):
        shown = self.headers_of(client)
        headers = {"If-None-Match": shown["ETag"]}
        response = client.generic(method, PATH, headers=headers)
        assert (response.status_code, content_of(response)) == (304, b"")
        for name in ("ETag", "Cache-Control", "Vary"):
            assert response.headers[name] == shown[name]
        assert "X-Request-ID" in response.headers

    def test_unmodified_since__304__and_other__200(self, client):
        headers = {"If-Modified-Since": self.headers_of(client)["Last-Modified"]}
        assert client.get(PATH, headers=headers).status_code == 304
        response = client.get(PATH, headers={"If-None-Match": '"other"'})
        assert (response.status_code, content_of(response)) == (200, STYLE)


class TestMiddleware:
    EVERYWHERE = (
        "Content-Security-Policy",
        "Cross-Origin-Opener-Policy",
        "Permissions-Policy",
        "Referrer-Policy",
        "X-Content-Type-Options",
    )

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", PATH, 200),
            ("HEAD", PATH, 200),
            ("POST", PATH, 405),
            ("GET", "/static/missing.css", 404),
            ("GET", "/static/", 404),
            ("GET", "/static/style.css.gz", 404),
            ("GET", "/static/../style.css", 404),
        ],
    )
    def test_headers__errors_too(self, client, method, path, status):
        response = client.generic(method, path, headers={"X-Request-ID": "mine"})
        content_of(response)
        assert response.status_code == status
        assert response.headers["X-Request-ID"] == "mine"
        assert response.headers.get("Allow") == ("GET, HEAD" if status == 405 else None)
        for name in self.EVERYWHERE:
            assert name in response.headers

    def test_file__loads_nothing(self, client):
        response = client.get(PATH)
        content_of(response)
        assert response.headers["Content-Security-Policy"] == (
            "default-src 'none'; frame-ancestors 'none'"
        )
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"

    def test_head__headers_of_get(self, client):
        got, head = client.get(PATH), client.head(PATH)
        assert (content_of(got), content_of(head)) == (STYLE, b"")
        for response in (got, head):
            del response.headers["X-Request-ID"]
        assert dict(head.headers) == dict(got.headers)

    def test_https_only__redirect(self, settings):
        settings.SECURE_SSL_REDIRECT = True
        settings.SECURE_HSTS_SECONDS = 60
        client = Client()
        response = client.get(PATH, headers={"X-Request-ID": "mine"})
        assert response.status_code == 301
        assert response.headers["Location"] == f"https://testserver{PATH}"
        assert response.headers["X-Request-ID"] == "mine"
        for name in self.EVERYWHERE:
            assert name in response.headers
        response = client.get(PATH, secure=True)
        content_of(response)
        assert "Strict-Transport-Security" in response.headers
