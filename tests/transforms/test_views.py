from __future__ import annotations

import pytest

from tests.problems import slug


class TestMirrorView:
    """What a known word gives is in test_http, test_docs and test_home."""

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("", "word-missing"),
            ("word=a&word=b", "word-repeated"),
            ("word=%FF", "word-not-utf8"),
            ("word=" + "a" * 2001, "word-too-long"),
        ],
    )
    def test_get__bad_word(self, client, query, code):
        response = client.get(f"/api/mirror?{query}")
        assert (response.status_code, slug(response)) == (400, code)
        errors = response.json()["errors"]
        assert [(e["field"], e["code"]) for e in errors] == [("word", code)]

    def test_longest_word(self, client):
        response = client.get("/api/mirror", {"word": "😀" * 2000})
        assert response.json() == {"transformed": "😀" * 2000}
