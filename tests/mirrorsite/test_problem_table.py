"""Every type of problem is declared and can be looked up."""

from __future__ import annotations

import re

from mirrorsite.problem_types import PROBLEM_TYPES
from tests.problems import slug
from tests.support import ROOT


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
    raised = re.compile(r'\b(?:Problem\(|InvalidRequest\(\s*[^,()]+,)\s*"([a-z-]+)"')
    found = {slug for path in files for slug in raised.findall(path.read_text())}
    assert len(found) > 10
    assert found - PROBLEM_TYPES.keys() == set()
