"""Problems that are answered before Django sees the request."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mirrorsite.headers import API_HEADERS, SECURITY_HEADERS
from mirrorsite.problem_types import PROBLEM_TYPES
from mirrorsite.problems import CONTENT_TYPE, RETRY_AFTER_SECONDS, problem_body

Fields = list[tuple[bytes, bytes]]


_SECURITY_FIELDS = [
    (name.lower().encode(), value.encode())
    for name, value in (API_HEADERS | SECURITY_HEADERS).items()
]


@dataclass(frozen=True, slots=True)
class EarlyAnswer:
    """A problem as status, header fields and body."""

    status: int
    fields: Fields
    body: bytes


def early_answer(slug: str, request_id: str, path: str = "/") -> EarlyAnswer:
    """Return the problem of a declared type; its meaning is its detail."""
    kind = PROBLEM_TYPES[slug]
    body = json.dumps(
        problem_body(path, request_id, kind.status, slug, kind.meaning)
    ).encode()
    fields = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
        *_SECURITY_FIELDS,
    ]
    if kind.status == 503:
        fields.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
    return EarlyAnswer(kind.status, fields, body)
