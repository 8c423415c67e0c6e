"""The short way answers as Django does, or leaves the request to it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import given
from hypothesis import strategies as st

from mirrorsite import fast_path
from mirrorsite.fast_path import FastPath
from mirrorsite.urls import FAST_ANSWERS

Answer = tuple[str, list[tuple[str, str]], bytes]
WORD = "word=fOoBar25"


def environ(path: str, query: str = "", method: str = "GET", **more: str) -> Any:
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "4545",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:4545",
        "HTTP_X_REQUEST_ID": "known",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **more,
    }


def ask(application: Any, asked: Any) -> Answer:
    said: list[Any] = []

    def start_response(status: str, headers: Any, *error: Any) -> None:
        said[:] = [status, sorted(headers)]

    parts: Any = application(asked, start_response)
    body = b"".join(parts)
    if hasattr(parts, "close"):
        parts.close()
    return said[0], said[1], body


class Counting:
    """Django behind a count of what came to it."""

    def __init__(self) -> None:
        self.count = 0
        self._django = get_wsgi_application()

    def __call__(self, asked: Any, start_response: Any) -> Iterable[bytes]:
        self.count += 1
        return self._django(asked, start_response)


@pytest.fixture(autouse=True)
def _connections_left_alone() -> Iterator[None]:
    """Keep Django from closing the tests' own connections, as its test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def django() -> Counting:
    return Counting()


@pytest.fixture
def short(django: Counting) -> FastPath:
    """Return the short way after Django has answered both addresses."""
    made = FastPath(django, FAST_ANSWERS)
    ask(made, environ("/api/health"))
    ask(made, environ("/api/mirror", WORD))
    django.count = 0
    return made


#: Whole words, and the pieces of a query that are none.
QUERIES = st.one_of(
    st.text(max_size=30).map(lambda word: "word=" + quote(word, errors="replace")),
    st.text(st.characters(max_codepoint=255), max_size=20),
    st.sampled_from(["word=a&word=b", "word=%FF", "word=\u2028", "x=1&word=%0D%0A+a"]),
)


class TestSameAnswer:
    @given(QUERIES)
    def test_mirror(self, query: str) -> None:
        django = Counting()
        short = FastPath(django, FAST_ANSWERS)
        ask(short, environ("/api/mirror", WORD))
        asked = environ("/api/mirror", query.encode().decode("latin-1"))
        assert ask(short, dict(asked)) == ask(django, dict(asked))

    def test_line_separators(self, short: FastPath, django: Counting) -> None:
        asked = environ("/api/mirror", "word=%E2%80%A8%E2%80%A9")
        assert ask(short, dict(asked))[2] == b'{"transformed":"\\u2029\\u2028"}'
        assert django.count == 0
        assert ask(short, dict(asked)) == ask(django, dict(asked))

    @pytest.mark.parametrize(
        ("path", "query"), [("/api/health", ""), ("/api/mirror", WORD)]
    )
    def test_plain__without_django(
        self, short: FastPath, django: Counting, path: str, query: str
    ) -> None:
        asked = environ(path, query)
        found = ask(short, asked)
        assert django.count == 0
        # For the access log.
        assert asked["mirrorsite.route"] == path.lstrip("/")
        assert asked["mirrorsite.request_id"] == "known"
        assert found == ask(django, environ(path, query))

    def test_request_id__made_when_absent(self, short: FastPath) -> None:
        asked = environ("/api/health")
        del asked["HTTP_X_REQUEST_ID"]
        first, second = (
            dict(ask(short, dict(asked))[1])["X-Request-ID"] for _ in range(2)
        )
        assert len(first) == len(second) == 32
        assert first != second

    def test_https__with_its_header(self, settings: Any) -> None:
        """A proxy's word on the scheme is part of the address."""
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        settings.SECURE_HSTS_SECONDS = 60
        django = Counting()
        short = FastPath(django, FAST_ANSWERS)
        for scheme in ("http", "https", "http", "https"):
            asked = environ("/api/health", HTTP_X_FORWARDED_PROTO=scheme)
            found = ask(short, dict(asked))
            assert found == ask(django, dict(asked))
            names = dict(found[1])
            assert ("Strict-Transport-Security" in names) == (scheme == "https")


class TestLongWay:
    @pytest.mark.parametrize(
        ("asked", "status"),
        [
            (environ("/api/health", method="HEAD"), "200"),
            (environ("/api/health", method="POST"), "405"),
            (environ("/api/mirror", WORD, HTTP_IF_NONE_MATCH="*"), "304"),
            (environ("/api/mirror", "word=a&word=b"), "400"),
            (environ("/api/mirror", WORD, HTTP_HOST="evil.example"), "400"),
            (environ("/api/mirror", WORD, SCRIPT_NAME="/below"), "200"),
            (environ("/api/nothing"), "404"),
        ],
        ids=lambda value: value if isinstance(value, str) else None,
    )
    def test_not_plain(
        self, short: FastPath, django: Counting, asked: Any, status: str
    ) -> None:
        found = ask(short, dict(asked))
        assert django.count == 1
        assert found[0].startswith(status)
        assert found == ask(django, dict(asked))

    def test_refused_address__never_remembered(
        self, short: FastPath, django: Counting
    ) -> None:
        for _ in range(3):
            ask(short, environ("/api/health", HTTP_HOST="evil.example"))
        assert django.count == 3

    def test_without_host(self, short: FastPath, django: Counting) -> None:
        asked = environ("/api/health")
        del asked["HTTP_HOST"]
        ask(short, asked)
        assert django.count == 1

    def test_many_addresses__forgotten(
        self, short: FastPath, django: Counting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client that makes up ports does not fill the memory."""
        monkeypatch.setattr(fast_path, "MOST_ADDRESSES", 3)
        for port in range(10):
            ask(short, environ("/api/health", HTTP_HOST=f"localhost:{port}"))
            assert len(short._remembered) <= 3
        assert django.count == 10
