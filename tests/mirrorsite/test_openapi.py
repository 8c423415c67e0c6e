"""The description: generated without a warning, committed, complete, served."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.urls import URLPattern, get_resolver

from mirrorsite.api_docs import openapi, openapi_yaml
from tests.support import ROOT
from uploads.models import WITHOUT_UPLOAD, Action, Status

#: Routes that are pages, or no operation of their own.
UNDESCRIBED = {"api/docs"}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in openapi()["paths"].items()
        for method, operation in item.items()
    ]


class TestSchema:
    def test_generation__valid_and_without_warnings(self):
        call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())

    def test_committed(self):
        committed = (ROOT / "docs" / "openapi.yaml").read_text()
        assert committed == openapi_yaml(), "run ./sre/schema"
        assert yaml.safe_load(committed) == openapi()

    def test_every_route_is_described(self):
        routes = {
            str(pattern.pattern)
            for pattern in get_resolver().url_patterns
            if isinstance(pattern, URLPattern)
            and str(pattern.pattern).startswith("api/")
        }
        described = {
            path.lstrip("/")
            .replace("{slug}", "<slug:slug>")
            .replace("{upload_id}", "<str:upload_id>")
            for path in openapi()["paths"]
        }
        assert routes - UNDESCRIBED == described

    def test_every_operation(self):
        for path, method, operation in operations():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["operationId"], where
            responses = operation["responses"]
            assert "default" in responses, where
            for status, response in responses.items():
                assert "X-Request-ID" in response["headers"], (where, status)
                if status >= "4" and status != "default":
                    (media_type,) = response["content"]
                    assert media_type == "application/problem+json"
                    assert response["content"][media_type]["examples"], (where, status)
                if status in {"429", "503"}:
                    assert "Retry-After" in response["headers"], (where, status)
                is_counted = "429" in responses and status not in {
                    "408",
                    "413",
                    "default",
                }
                assert ("RateLimit" in response["headers"]) == is_counted

    def test_values__all_that_a_record_can_have(self):
        schemas = openapi()["components"]["schemas"]
        assert schemas["UploadStatus"]["enum"] == Status.values
        actions = schemas["UploadEvent"]["properties"]["action"]["enum"]
        assert actions == [a.value for a in Action if a not in WITHOUT_UPLOAD]


class TestServed:
    @pytest.mark.parametrize(
        ("query", "accept", "is_yaml"),
        [
            ("", "*/*", False),
            ("?format=yaml", "application/json", True),
            ("?format=json", "application/yaml", False),
            ("", "application/yaml", True),
            ("", "text/yaml", True),
            ("", "application/json;q=0.5, application/yaml", True),
            ("", "application/yaml;q=0.1, application/json", False),
            ("", "application/yaml;q=0, */*", False),
            ("", "application/yaml;q=0", False),
            ("", "text/html", False),
        ],
    )
    def test_format(self, client, query, accept, is_yaml):
        response = client.get(f"/api/schema{query}", headers={"Accept": accept})
        if is_yaml:
            assert response.headers["Content-Type"] == "application/yaml"
            assert response.content.decode() == openapi_yaml()
        else:
            assert response.headers["Content-Type"] == "application/json"
            assert response.json() == openapi()

    @pytest.mark.parametrize("value", ["xml", "", "%FF", "json%"])
    def test_other_formats__400(self, client, value):
        answer = client.get(f"/api/schema?format={value}")
        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == ["format"]

    def test_docs__own_files_only(self, client):
        page = client.get("/api/docs").content.decode()
        assert (
            "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle" in page
        )
        assert "http://" not in page
        assert "https://" not in page
        assert "<script>" not in page
        assert "style=" not in page
