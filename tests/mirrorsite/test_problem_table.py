"""Every type of problem: declared, looked up, and provoked by some test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from mirrorsite.problem_types import PROBLEM_TYPES
from tests.problems import slug
from tests.support import ROOT

HERE = Path(__file__)


def test_every_type_is_provoked_by_a_test():
    """Those tests hold the answer against its declaration: see tests/problems.py."""
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if path != HERE]
    texts = "".join(path.read_text() for path in files)
    assert [name for name in PROBLEM_TYPES if f'"{name}"' not in texts] == []


class TestLookUp:
    def test_type_leads_to_its_meaning(self, client):
        for kind in PROBLEM_TYPES.values():
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
        assert slug(client.get("/api/problems/unheard-of")) == "not-found"


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
