from __future__ import annotations

import pytest


class TestMirrorView:
    @pytest.mark.parametrize(
        ("query", "transformed"),
        [
            ("word=abcABC123987", "210678cbaCBA"),
            ("word=", ""),
            ("word=é", "É"),
            ("word=%F0%9F%87%AE%F0%9F%87%B9a", "A🇮🇹"),
            ("other=1&word=luca", "ACUL"),
        ],
    )
    def test_get(self, client, query, transformed):
        response = client.get(f"/api/mirror?{query}")

        assert response.status_code == 200
        assert response.json() == {"transformed": transformed}
        assert response.headers["Cache-Control"].startswith("public")

    def test_get__bad_word(self, client):
        """The codes are test_query's."""
        response = client.get("/api/mirror?word=a&word=b")
        assert response.status_code == 400
        errors = response.json()["errors"]
        assert [(e["field"], e["code"]) for e in errors] == [("word", "word-repeated")]

    def test_longest_word(self, client):
        response = client.get("/api/mirror", {"word": "😀" * 2000})
        assert response.json() == {"transformed": "😀" * 2000}
