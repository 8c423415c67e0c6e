"""The fast path answers as Django does, or leaves the request to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from django.core.handlers.base import BaseHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import given
from hypothesis import strategies as st

from mirrorsite.server import fast_path
from mirrorsite.server.fast_path import FastPath
from mirrorsite.server.request import Request
from mirrorsite.server.responses import Fields, Response, header_fields
from mirrorsite.urls import FAST_ANSWERS
from tests.mirrorsite.connections import scope_of

HEALTH, MIRROR = b"/api/health", b"/api/mirror"
WORD = b"word=fOoBar25"


def ask_django(scope: Any) -> Response:
    handler = BaseHandler()
    handler.load_middleware()
    response = handler.get_response(Request(scope, BytesIO()))
    return Response(response.status_code, header_fields(response), b"".join(response))


def ask_fast_path(path: FastPath, scope: Any) -> tuple[Fields, bytes] | None:
    found = path.answer(
        scope["raw_path"],
        scope["query_string"],
        dict(scope["headers"]),
        scope["scheme"],
    )
    if found is None:
        return None
    lines = found.head.removesuffix(b"\r\n").split(b"\r\n")
    return [(n, v) for n, _, v in (line.partition(b": ") for line in lines)], found.body


def remember(path: FastPath, scope: Any) -> None:
    """Do what the application does after Django's answer."""
    path.remember(scope, ask_django(scope))


@pytest.fixture(autouse=True)
def _connections_left_alone() -> Iterator[None]:
    """Keep Django from closing the tests' own connections, as its test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def warm() -> FastPath:
    """Return a fast path after Django has answered for both paths."""
    made = FastPath(FAST_ANSWERS)
    remember(made, scope_of(HEALTH))
    remember(made, scope_of(MIRROR, WORD))
    return made


def assert_same(path: FastPath, scope: Any) -> None:
    found = ask_fast_path(path, scope)
    response = ask_django(scope)
    if found is None:
        assert response.status != 200
    else:
        assert response.status == 200
        assert (sorted(found[0]), found[1]) == (sorted(response.fields), response.body)


#: Whole words, and the pieces of a query that are none.
QUERIES = st.one_of(
    st.text(max_size=30).map(lambda word: "word=" + quote(word, errors="replace")),
    # The HTTP parser refuses all other characters.
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20),
    st.sampled_from(["word=a&word=b", "word=%FF", "x=1&word=%0D%0A+a"]),
)


class TestSameAnswer:
    @given(QUERIES)
    def test_mirror(self, query):
        assert_same(warm(), scope_of(MIRROR, query.encode()))

    def test_https__with_its_header(self, settings):
        """The scheme that a proxy reports is part of the cache key."""
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        settings.SECURE_HSTS_SECONDS = 60
        path = FastPath(FAST_ANSWERS)
        scopes = {
            scheme: scope_of(HEALTH, x_forwarded_proto=scheme)
            for scheme in ("http", "https")
        }
        for scope in scopes.values():
            remember(path, scope)
        for scheme, scope in scopes.items():
            assert_same(path, scope)
            found = ask_fast_path(path, scope)
            assert found is not None
            names = dict(found[0])
            assert (b"strict-transport-security" in names) == (scheme == "https")


class TestLeftToDjango:
    @pytest.mark.parametrize(
        "scope",
        [
            scope_of(MIRROR, WORD, if_none_match="*"),
            scope_of(MIRROR, b"word=a&word=b"),
            scope_of(MIRROR, WORD, host="evil.example"),
            scope_of(MIRROR, WORD, content_length="1"),
            scope_of(MIRROR, WORD, transfer_encoding="chunked"),
            scope_of(HEALTH, expect="100-continue"),
            scope_of(HEALTH, upgrade="h2c"),
            scope_of(b"/api/nothing"),
        ],
    )
    def test_not_plain(self, scope):
        assert ask_fast_path(warm(), scope) is None

    def test_refused_host__never_remembered(self):
        path, scope = warm(), scope_of(HEALTH, host="evil.example")
        remember(path, scope)
        assert ask_fast_path(path, scope) is None
        assert path.answer(HEALTH, b"", {}, "http") is None  # no host at all

    def test_many_cache_keys__forgotten(self, monkeypatch):
        """A client that makes up ports does not fill the memory."""
        monkeypatch.setattr(fast_path, "MAX_CACHE_KEYS", 3)
        path = FastPath(FAST_ANSWERS)
        scopes = [scope_of(HEALTH, host=f"localhost:{port}") for port in range(10)]
        for scope in scopes:
            remember(path, scope)
            assert ask_fast_path(path, scope) is not None
        known = [scope for scope in scopes if ask_fast_path(path, scope) is not None]
        assert len(known) <= 3

    def test_answer_with_a_cookie__never_remembered(self):
        """The cookie is for the client that asked, not for all."""
        path, scope = FastPath(FAST_ANSWERS), scope_of(HEALTH)
        response = ask_django(scope)
        cookie = [*response.fields, (b"set-cookie", b"a=1")]
        path.remember(scope, replace(response, fields=cookie))
        assert ask_fast_path(path, scope) is None
        path.remember(scope, response)
        assert ask_fast_path(path, scope) is not None
