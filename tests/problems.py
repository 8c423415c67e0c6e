"""Problems (RFC 9457): each one that a test looks at is held against its declaration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mirrorsite.problem_types import PROBLEM_TYPES

_MEMBERS = {"type", "title", "status", "detail", "instance", "request_id"}
#: What tests let errors say, and what errors of Python and Django say of themselves.
_INTERNAL = ("Traceback", "internal name", "host db", "Error", "django")


def slug(answer: Any) -> str:
    """Return the type of a problem that Django's test client has received."""
    return slug_of(answer.status_code, answer.headers, answer.content)


def slug_of(status: int, headers: Mapping[str, str], content: bytes) -> str:
    """Return the type of a problem, which is as /api/problems has it."""
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    body = json.loads(content)
    assert body.keys() >= _MEMBERS
    slug = str(body["type"].removeprefix("/api/problems/"))
    kind = PROBLEM_TYPES[slug]
    assert (body["title"], body["status"]) == (kind.title, kind.status)
    assert status == kind.status
    assert body["request_id"] == headers["X-Request-ID"]
    if status in {429, 503}:
        assert int(headers["Retry-After"]) > 0
    assert not [word for word in _INTERNAL if word in content.decode()]
    return slug
