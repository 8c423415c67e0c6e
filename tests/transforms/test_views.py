from __future__ import annotations

from typing import Any

import pytest


class TestMirrorView:
    @pytest.mark.parametrize(
        ("query", "transformed"),
        [
            ("word=abcABC123987", "210678cbaCBA"),
            ("word=", ""),
            ("word=%F0%9F%87%AE%F0%9F%87%B9a", "A🇮🇹"),
            ("other=1&word=luca", "ACUL"),
        ],
    )
    def test_get(self, client, query, transformed):
        response = client.get(f"/api/mirror?{query}")

        assert response.status_code == 200
        assert response.json() == {"transformed": transformed}
        assert response.headers["Cache-Control"].startswith("public")

    def test_get__body_is_utf8(self, client):
        assert (
            client.get("/api/mirror?word=é").content.decode() == '{"transformed":"É"}'
        )

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

        assert response.status_code == 400
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = response.json()
        assert [error["field"] for error in problem["errors"]] == ["word"]
        assert [error["code"] for error in problem["errors"]] == [code]
        assert problem["request_id"] == response.headers["X-Request-ID"]

    def test_longest_word(self, client):
        response = client.get("/api/mirror", {"word": "😀" * 2000})
        assert response.json() == {"transformed": "😀" * 2000}

    def test_deterministic__same_etag(self, client):
        etags = {client.get("/api/mirror?word=a").headers["ETag"] for _ in range(3)}
        assert len(etags) == 1
        assert client.get("/api/mirror?word=b").headers["ETag"] not in etags

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_wrong_method(self, client, method):
        response: Any = getattr(client, method)("/api/mirror?word=a")
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
        assert response.headers["Content-Type"] == "application/problem+json"
