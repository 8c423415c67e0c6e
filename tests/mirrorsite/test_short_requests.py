from __future__ import annotations

import pytest

from mirrorsite.short_requests import PATHS, is_short
from mirrorsite.urls import FAST_ANSWERS

HEAD = b"GET /api/mirror?word=fOoBar25 HTTP/1.1\r\nHost: localhost\r\n"


def test_every_short_path_has_its_answer() -> None:
    assert tuple(FAST_ANSWERS) == PATHS


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + b"\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: a\r\nUser-Agent: probe\r\n\r\n",
        b"GET /api/health?x HTTP/1.1\r\nHost: a\r\n\r\n",
        HEAD + b"X-Note: content-length: 3\r\n\r\n",
    ],
)
def test_short(request_bytes: bytes) -> None:
    assert is_short(request_bytes)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        HEAD,
        HEAD + b"\r",
        HEAD + b"\r\n" + HEAD + b"\r\n",
        HEAD + b"\r\nx",
        HEAD + b"Content-Length: 1\r\n\r\n",
        HEAD + b"tRANSFER-eNCODING: chunked\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\n\r\n",
        HEAD + b"Content-Length : 1\r\n\r\n",
        HEAD + b"If-None-Match: *\r\n\r\n",
        HEAD + b"folded\n line\n\nGET / HTTP/1.1\r\n\r\n",
        b"GET /api/healthy HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/health HTTP/1.0\r\nHost: a\r\n\r\n",
        b"HEAD /api/health HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /api/upload-random HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/mirror?word=a b HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_not_short(request_bytes: bytes) -> None:
    assert not is_short(request_bytes)
