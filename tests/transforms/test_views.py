from __future__ import annotations

import pytest

from tests.problems import slug


class TestMirrorView:
    @pytest.mark.parametrize(
        ("query", "transformed"),
        [
            ("word=abcABC123987", "210678cbaCBA"),
            ("word=%F0%9F%87%AE%F0%9F%87%B9a", "A🇮🇹"),
            ("other=1&word=luca", "ACUL"),
        ],
    )
    def test_get(self, client, query, transformed):
        response = client.get(f"/api/mirror?{query}")

        assert response.status_code == 200
        assert response.json() == {"transformed": transformed}
        assert response.headers["Cache-Control"].startswith("public")

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
