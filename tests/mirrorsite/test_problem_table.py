"""Every type of problem: declared, and as it is really answered."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from mirrorsite.problem_types import PROBLEM_TYPES
from tests.faulty_store import FaultyStore
from tests.mirrorsite.provoked import PROVOCATIONS, REQUEST_ID, Answer, World
from tests.support import ROOT
from uploads.storage import UploadStorage

_MEMBERS = {"type", "title", "status", "detail", "instance", "request_id"}


@pytest.fixture
def world(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    object_store: Any,
    bucket: UploadStorage,
    make_storage: Any,
    db: None,
) -> Iterator[World]:
    faulty = FaultyStore(object_store.port)
    make_storage(
        bucket_name=bucket.bucket_name, endpoint_url=faulty.url, max_attempts=1
    )
    yield World(client, monkeypatch, faulty)
    faulty.stop()


class TestEachType:
    def test_every_type_is_provoked(self):
        assert set(PROVOCATIONS) == set(PROBLEM_TYPES)

    def test_answers__as_declared(self, world, subtests):
        for slug in PROBLEM_TYPES:
            with pytest.MonkeyPatch.context() as patch, subtests.test(slug):
                world.monkeypatch = patch
                world.store.plan = lambda method, path: "pass"
                _check(slug, PROVOCATIONS[slug](world))


def _check(slug: str, answer: Answer) -> None:
    kind = PROBLEM_TYPES[slug]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.status == kind.status
    body = answer.body
    assert body.keys() >= _MEMBERS
    assert body["type"] == f"/api/problems/{slug}"
    assert body["title"] == kind.title
    assert body["status"] == kind.status
    assert body["request_id"] == answer.headers["X-Request-ID"]
    if kind.status in {429, 503} and slug != "not-ready":
        assert int(answer.headers["Retry-After"]) > 0
    text = json.dumps(body)
    for internal in ("Traceback", "internal name", "host db", "Error", "django"):
        assert internal not in text


class TestLookUp:
    @pytest.mark.parametrize("slug", PROBLEM_TYPES)
    def test_type_leads_to_its_meaning(self, client, slug):
        kind = PROBLEM_TYPES[slug]
        assert client.get(kind.uri).json() == {
            "type": kind.uri,
            "status": kind.status,
            "title": kind.title,
            "meaning": kind.meaning,
            "remedy": kind.remedy,
        }

    def test_list(self, client):
        listed = client.get("/api/problems").json()["problems"]
        assert [kind["type"] for kind in listed] == [
            kind.uri for kind in PROBLEM_TYPES.values()
        ]

    def test_unknown(self, client):
        response = client.get(
            "/api/problems/unheard-of", headers={"X-Request-ID": REQUEST_ID}
        )
        assert response.status_code == 404
        assert response.json()["type"] == "/api/problems/not-found"


def _slugs_in_code() -> Iterator[tuple[str, str]]:
    """Yield file and slug of each Problem(…) and InvalidRequest(…) in the code."""
    for package in ("mirrorsite", "transforms", "uploads"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id in {"Problem", "InvalidRequest"}
                    and len(node.args) > 1
                    and isinstance(node.args[1], ast.Constant)
                    and isinstance(node.args[1].value, str)
                ):
                    yield str(path.relative_to(ROOT)), node.args[1].value


def test_every_slug_in_the_code_is_declared():
    found = set(_slugs_in_code())
    assert len(found) > 10
    assert {pair for pair in found if pair[1] not in PROBLEM_TYPES} == set()
