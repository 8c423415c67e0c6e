"""drf-spectacular's settings. No Django here."""

from __future__ import annotations

from typing import Any

#: Response headers that `mirrorsite.openapi` adds to operations.
HEADERS: dict[str, Any] = {
    "X-Request-ID": {
        "description": "The request's identifier: the client's own X-Request-ID when"
        " well-formed, else the trace id of its traceparent, else a new one. It is in"
        " the log, the record and the object's metadata.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._~+/=:-]{1,128}$"},
    },
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RateLimit-Policy": {
        "description": "Requests (q) allowed per window of w seconds; absent without a"
        " limit.",
        "schema": {"type": "string"},
        "example": '"default";q=60;w=60',
    },
    "RateLimit": {
        "description": "Requests that remain (r) in the next t seconds; absent without"
        " a limit.",
        "schema": {"type": "string"},
        "example": '"default";r=59;t=31',
    },
    "WWW-Authenticate": {
        "description": "The authentication scheme to use (RFC 6750).",
        "schema": {"type": "string"},
    },
}

#: Request headers that every operation takes.
PARAMETERS: dict[str, Any] = {
    "X-Request-ID": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Your identifier of the request, 1 to 128 characters of"
        " A-Z a-z 0-9 . _ ~ + / = : -. Another value is ignored.",
        "schema": {"type": "string"},
        "example": "order-4711",
    },
    "traceparent": {
        "name": "traceparent",
        "in": "header",
        "description": "W3C Trace Context; without an X-Request-ID its trace id is the"
        " request's identifier. An invalid value is ignored.",
        "schema": {"type": "string"},
        "example": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "mirrorsite",
    "VERSION": "1.0.0",
    "DESCRIPTION": (
        "Proves that a platform works end to end, and keeps an upload audit trail that"
        " can itself be proven. Every error is a problem (RFC 9457) whose `type` can be"
        " looked up in this API."
    ),
    "OAS_VERSION": "3.1.1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATIONS": False,
    "TAGS": [
        {"name": "probes", "description": "Liveness and readiness."},
        {"name": "mirror", "description": "The transformation."},
        {"name": "uploads", "description": "Uploads and their records."},
        {
            "name": "about",
            "description": "The description of this API and of its problems.",
        },
    ],
    "APPEND_COMPONENTS": {"headers": HEADERS, "parameters": PARAMETERS},
    "POSTPROCESSING_HOOKS": ["mirrorsite.openapi.describe_every_operation"],
}
