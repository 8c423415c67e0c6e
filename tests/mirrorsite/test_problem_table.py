"""Every type of problem: declared, looked up, and provoked by some test."""

from __future__ import annotations

import re
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


def test_every_slug_in_the_code_is_declared():
    files = [
        path
        for package in ("mirrorsite", "transforms", "uploads")
        for path in (ROOT / package).rglob("*.py")
    ]
    raised = re.compile(r'\b(?:Problem|InvalidRequest)\(\s*[^,()]+,\s*"([a-z-]+)"')
    found = {slug for path in files for slug in raised.findall(path.read_text())}
    assert len(found) > 10
    assert found - PROBLEM_TYPES.keys() == set()
