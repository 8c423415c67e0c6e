"""What the server answers: Django's response, or a problem of the server's own."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.http.response import HttpResponseBase

from mirrorsite.headers import API_HEADERS
from mirrorsite.problem_types import PROBLEM_TYPES
from mirrorsite.problems import CONTENT_TYPE, RETRY_AFTER_SECONDS, problem_body

Fields = list[tuple[bytes, bytes]]

_SECURITY_FIELDS = [
    (name.lower().encode(), value.encode()) for name, value in API_HEADERS.items()
]


@dataclass(frozen=True, slots=True)
class Response:
    """A response to send, or one whose `sent_bytes` of body were streamed already."""

    status: int
    fields: Fields
    body: bytes = b""
    sent_bytes: int | None = None


def header_fields(response: HttpResponseBase) -> Fields:
    """Return the header fields of Django's response, with names in lower case."""
    cookies = [("set-cookie", c.OutputString()) for c in response.cookies.values()]
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in [*response.items(), *cookies]
    ]


def server_problem(slug: str, request_id: str, path: str = "/") -> Response:
    """Return a problem of the server's own; its detail is the meaning of its type."""
    kind = PROBLEM_TYPES[slug]
    body = json.dumps(problem_body(path, request_id, slug, kind.meaning)).encode()
    fields = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
        *_SECURITY_FIELDS,
    ]
    if kind.status == 503:
        fields.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
    return Response(kind.status, fields, body)
