"""HTTP as it should be: errors of every layer, conditional requests, methods, headers."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.test import Client

from mirrorsite.logs import current_request_id, request_id_from
from tests.problems import slug as problem_of

WORD = "/api/mirror?word=fOoBar25"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


VIEW = "transforms.views.mirror"
MIDDLEWARE = "django.middleware.security.SecurityMiddleware.process_request"
ERRORS = [
    (RuntimeError("internal name"), 500, "internal-error"),
    (Http404("internal name"), 404, "not-found"),
    (PermissionDenied("internal name"), 403, "permission-denied"),
    (SuspiciousOperation("internal name"), 400, "bad-request"),
    (MultiPartParserError("internal name"), 400, "bad-request"),
]


@pytest.mark.parametrize("debug", [False, True])
class TestErrors:
    """The same with DEBUG: its pages, and what they tell, stay away from the API."""

    @pytest.fixture
    def caller(self, debug: bool, settings: Any) -> Client:
        settings.DEBUG = debug
        return Client(raise_request_exception=False)

    @pytest.mark.parametrize(
        ("where", "error", "status", "slug"),
        [
            *[(where, *case) for where in (VIEW, MIDDLEWARE) for case in ERRORS],
            (VIEW, OperationalError("internal name"), 503, "database-unavailable"),
            (VIEW, InterfaceError("internal name"), 503, "database-unavailable"),
            (VIEW, RequestDataTooBig("internal name"), 413, "body-too-large"),
        ],
    )
    def test_raised(self, caller, monkeypatch, where, error, status, slug):
        monkeypatch.setattr(where, Mock(side_effect=error))
        response = caller.get(WORD)
        assert (response.status_code, problem_of(response)) == (status, slug)
        assert (response.headers.get("Retry-After") == "5") == (status == 503)

    @pytest.mark.parametrize(
        "path",
        ["/api", "/api/", "/api/nothing", "/api/health/", "/api/%0d%0a", "/api/é"],
    )
    def test_unknown_path(self, caller, path):
        response = caller.get(path)
        assert (response.status_code, problem_of(response)) == (404, "not-found")
        assert response.json()["instance"].isascii()

    def test_host(self, caller):
        response = caller.get("/api/health", headers={"Host": "elsewhere.example"})
        assert (response.status_code, problem_of(response)) == (400, "host-not-allowed")
        assert response.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize(
        ("content_type", "coding", "detail"),
        [
            ("text/plain", "identity", "must be application/json"),
            ("multipart/form-data", "identity", "must be application/json"),
            ("", "identity", "must be application/json"),
            ("application/json", "gzip", "without a Content-Encoding"),
            ("application/json", "unheard-of", "without a Content-Encoding"),
        ],
    )
    def test_media_type_and_coding(self, caller, content_type, coding, detail):
        response = caller.generic(
            "POST",
            "/api/upload-random",
            '{"size": 1}',
            content_type=content_type,
            headers={"Content-Encoding": coding},
        )
        assert response.status_code == 415
        assert problem_of(response) == "unsupported-media-type"
        assert detail in response.json()["detail"]

    def test_host__redirect_to_https_comes_later(self, caller, settings):
        settings.SECURE_SSL_REDIRECT = True
        caller = Client(raise_request_exception=False)
        refused = caller.get(WORD, headers={"Host": "elsewhere.example"})
        assert problem_of(refused) == "host-not-allowed"
        redirected = caller.get(WORD)
        assert redirected.status_code == 301
        assert redirected.headers["Location"].startswith("https://testserver/")
        assert caller.get("/api/health").status_code == 200


class TestErrorViews:
    def test_database_away_below_the_views(self, client, monkeypatch):
        monkeypatch.setattr(MIDDLEWARE, Mock(side_effect=OperationalError("db host")))
        client.raise_request_exception = False
        assert problem_of(client.get(WORD)) == "database-unavailable"

    def test_page_of_something_below__a_problem(self, client, monkeypatch):
        page = Mock(return_value=HttpResponse("<h1>Bad</h1>", status=400))
        monkeypatch.setattr(MIDDLEWARE, page)
        assert problem_of(client.get(WORD)) == "bad-request"

    def test_elsewhere__pages(self, client):
        response = client.get("/nothing")
        assert response.headers["Content-Type"].startswith("text/html")


class TestMethods:
    PATHS = (
        ("/api/health", "GET, HEAD, OPTIONS"),
        ("/api/ready", "GET, HEAD, OPTIONS"),
        ("/api/mirror", "GET, HEAD, OPTIONS"),
        ("/api/upload-random", "POST, OPTIONS"),
        ("/api/schema", "GET, HEAD, OPTIONS"),
        ("/api/problems", "GET, HEAD, OPTIONS"),
        ("/api/problems/not-found", "GET, HEAD, OPTIONS"),
        ("/api/docs", "GET, HEAD, OPTIONS"),
    )

    @pytest.mark.parametrize(("path", "allow"), PATHS)
    def test_options(self, client, path, allow):
        response = client.options(path)
        assert response.status_code == 204
        assert response.headers["Allow"] == allow
        assert response.content == b""
        assert "Content-Type" not in response.headers
        assert "Content-Length" not in response.headers

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "BREW"])
    @pytest.mark.parametrize(("path", "allow"), PATHS)
    def test_other__405(self, client, path, allow, method):
        response = client.generic(method, path)
        assert (response.status_code, problem_of(response)) == (
            405,
            "method-not-allowed",
        )
        assert response.headers["Allow"] == allow

    @pytest.mark.parametrize("path", ["/api/health", WORD, "/api/schema"])
    def test_head__headers_of_get(self, client, path):
        got, head = client.get(path), client.head(path)
        assert head.content == b""
        for response in (got, head):
            del response.headers["X-Request-ID"]
        assert dict(head.headers) == dict(got.headers)


class TestConditional:
    @pytest.fixture
    def etag(self, client: Client) -> str:
        etag = client.get(WORD).headers["ETag"]
        assert etag[0] == etag[-1] == '"'
        return str(etag)

    @pytest.mark.parametrize(
        "header", ["{0}", "W/{0}", '"other", {0}', '"a,b", W/{0} ,"c"', "*"]
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_known__304(self, client, etag, header, method):
        response = client.generic(
            method, WORD, headers={"If-None-Match": header.format(etag)}
        )
        assert response.status_code == 304
        assert response.content == b""
        assert response.headers["ETag"] == etag
        assert response.headers["Cache-Control"] == "public, max-age=86400"
        for name in ("Content-Type", "Content-Length"):
            assert name not in response.headers

    @pytest.mark.parametrize("header", ['"other"', "", "other", '"*"', 'W/"other"'])
    def test_other__200(self, client, etag, header):
        response = client.get(WORD, headers={"If-None-Match": header})
        assert response.status_code == 200
        assert response.json() == {"transformed": "47RAbOoF"}
        assert client.get("/api/mirror?word=other").headers["ETag"] != etag

    def test_error__not_304_and_not_kept(self, client):
        response = client.get("/api/mirror", headers={"If-None-Match": "*"})
        assert response.status_code == 400
        assert response.headers["Cache-Control"] == "no-store"


class TestSecurityHeaders:
    EVERYWHERE = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }

    @pytest.mark.parametrize(
        "path", ["/api/health", WORD, "/api/nothing", "/api/docs", "/admin/login/"]
    )
    @pytest.mark.django_db
    def test_present(self, client, path):
        headers = client.get(path).headers
        assert self.EVERYWHERE.items() <= dict(headers).items()
        assert "camera=()" in headers["Permissions-Policy"]
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        nothing_runs = policy == "default-src 'none'; frame-ancestors 'none'"
        assert nothing_runs or path in {"/api/docs", "/admin/login/"}


class TestRequestIds:
    @pytest.mark.parametrize(
        ("traceparent", "is_valid"),
        [
            (f"00-{TRACE}-{SPAN}-01", True),
            (f"00-{TRACE}-{SPAN}-00", True),
            (f"01-{TRACE}-{SPAN}-01-more", True),
            ("", False),
            (f"00-{TRACE}-{SPAN}-01-more", False),
            (f"ff-{TRACE}-{SPAN}-01", False),
            (f"00-{'0' * 32}-{SPAN}-01", False),
            (f"00-{TRACE}-{'0' * 16}-01", False),
            (f"00-{TRACE.upper()}-{SPAN}-01", False),
            (f"00-{TRACE}-{SPAN}-01\n", False),
        ],
    )
    def test_traceparent__its_trace_id_if_valid(self, traceparent, is_valid):
        assert (request_id_from("", traceparent) == TRACE) is is_valid

    def test_own_id_wins__if_well_formed(self, client):
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        response = client.get("/api/health", headers=headers)
        assert response.headers["X-Request-ID"] == TRACE
        headers["X-Request-ID"] = "mine"
        response = client.get("/api/health", headers=headers)
        assert response.headers["X-Request-ID"] == "mine"
        assert request_id_from("not well formed", headers["traceparent"]) == TRACE

    def test_current__that_of_the_request(self, client, monkeypatch):
        seen = []

        def mirror(word: str) -> str:
            seen.append(current_request_id.get())
            return word

        monkeypatch.setattr("transforms.views.mirror", mirror)
        client.get(WORD, headers={"X-Request-ID": "mine"})
        assert seen == ["mine"]
