"""The shared parts of the API's description, and how it is generated. No Django here."""

from __future__ import annotations

from typing import Any

SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "An error (RFC 9457). `type` is a path of this API that tells"
        " what it means and what to do; further members depend on it.",
        "required": ["type", "title", "status", "detail", "instance", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
            "instance": {"type": "string", "format": "uri-reference"},
            "request_id": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/FieldError"},
            },
            "checks": {"$ref": "#/components/schemas/Checks"},
            "upload_id": {"type": "string", "format": "uuid"},
            "upload_status": {"$ref": "#/components/schemas/UploadStatus"},
        },
    },
    "FieldError": {
        "type": "object",
        "description": "One parameter or member that is wrong.",
        "required": ["field", "code", "detail"],
        "additionalProperties": False,
        "properties": {
            "field": {"type": "string"},
            "code": {"type": "string"},
            "detail": {"type": "string"},
        },
    },
    "ProblemType": {
        "type": "object",
        "description": "What one `type` of problem means.",
        "required": ["type", "title", "status", "meaning", "remedy"],
        "additionalProperties": False,
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "meaning": {"type": "string"},
            "remedy": {"type": "string"},
        },
    },
    "Checks": {
        "type": "object",
        "description": "One line per dependency: ok, or what is wrong.",
        "required": ["database", "migrations", "bucket"],
        "additionalProperties": {"type": "string"},
        "properties": {
            name: {"type": "string"} for name in ("database", "migrations", "bucket")
        },
    },
    "UploadStatus": {
        "type": "string",
        "enum": ["pending", "stored", "failed", "missing", "corrupted", "purged"],
    },
}

#: The parts of an upload that its uploader is told.
UPLOAD_PROPERTIES: dict[str, Any] = {
    "id": {
        "type": "string",
        "format": "uuid",
        "description": "UUIDv7; with an Idempotency-Key UUIDv8.",
    },
    "key": {"type": "string", "description": "The object's key in the bucket."},
    "bucket": {"type": "string"},
    "number": {
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": 9999,
        "description": "The first random number in the object.",
    },
    "size": {"type": "integer", "minimum": 0, "description": "Bytes."},
    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "etag": {"type": "string"},
    "version_id": {"type": ["string", "null"]},
    "status": {"$ref": "#/components/schemas/UploadStatus"},
    "created_at": {"type": "string", "format": "date-time"},
    "url": {"type": "string", "format": "uri"},
}
SCHEMAS["Uploaded"] = {
    "type": "object",
    "description": "A stored upload.",
    "required": ["uploaded", *UPLOAD_PROPERTIES],
    "additionalProperties": False,
    "properties": {"uploaded": {"const": "ok"}, **UPLOAD_PROPERTIES},
}

RECORD_PROPERTIES: dict[str, Any] = {
    **UPLOAD_PROPERTIES,
    "requester": {
        "type": "string",
        "description": "anonymous, user:…, token:… or command:….",
    },
    "client_address": {"type": ["string", "null"]},
    "user_agent": {"type": "string"},
    "request_id": {"type": "string"},
    "error": {"type": ["string", "null"]},
    "stored_at": {"type": ["string", "null"], "format": "date-time"},
    "duration_seconds": {"type": ["number", "null"], "minimum": 0},
}
SCHEMAS["Upload"] = {
    "type": "object",
    "description": "An upload as the trail has it.",
    "required": list(RECORD_PROPERTIES),
    "additionalProperties": False,
    "properties": RECORD_PROPERTIES,
}
SCHEMAS["UploadEvent"] = {
    "type": "object",
    "description": "One thing that happened to an upload; never changed.",
    "required": ["id", "action", "at", "actor", "request_id", "detail", "seal"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "integer"},
        "action": {
            "type": "string",
            "enum": [
                "requested", "stored", "failed", "verified", "missing", "corrupted",
                "adopted", "purged", "retried", "downloaded", "proof_shown",
            ],
        },
        "at": {"type": "string", "format": "date-time"},
        "actor": {"type": "string"},
        "request_id": {"type": "string"},
        "detail": {"type": "object"},
        "seal": {"type": ["integer", "null"], "description": "The seal's number."},
    },
}  # fmt: skip

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
    "ETag": {
        "description": "Strong validator, for If-None-Match.",
        "schema": {"type": "string", "pattern": '^"[0-9a-f]{32}"$'},
    },
    "Cache-Control": {"schema": {"type": "string"}},
    "Location": {
        "description": "The upload's own address.",
        "schema": {"type": "string", "format": "uri"},
    },
    "Idempotent-Replayed": {
        "description": "true: the first answer to this Idempotency-Key again.",
        "schema": {"const": "true"},
    },
    "RateLimit-Policy": {
        "description": "Requests (q) in a window of so many seconds (w), when there is"
        " a limit.",
        "schema": {"type": "string"},
        "example": '"default";q=60;w=60',
    },
    "RateLimit": {
        "description": "Requests that remain (r) for so many seconds (t), when there"
        " is a limit.",
        "schema": {"type": "string"},
        "example": '"default";r=59;t=31',
    },
    "WWW-Authenticate": {
        "description": "The scheme that is asked for (RFC 6750).",
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

SECURITY_SCHEMES: dict[str, Any] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token with the scope that is needed: upload, or read.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "The session of a member of staff; POST needs X-CSRFToken too."
        " With HTTPS_ONLY the cookie is called __Host-sessionid.",
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
    "LICENSE": {},
    "SERVE_INCLUDE_SCHEMA": True,
    "SCHEMA_PATH_PREFIX": "/api",
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATIONS": False,
    "TAGS": [
        {"name": "probes", "description": "Is it alive, and can it work?"},
        {"name": "mirror", "description": "The transformation."},
        {"name": "uploads", "description": "Uploading, and the record of it."},
        {"name": "about", "description": "What this API says of itself."},
    ],
    "APPEND_COMPONENTS": {
        "schemas": SCHEMAS,
        "headers": HEADERS,
        "parameters": PARAMETERS,
        "securitySchemes": SECURITY_SCHEMES,
    },
    # Each operation names its schemes; drf-spectacular cannot know the scopes.
    "AUTHENTICATION_WHITELIST": [],
    "POSTPROCESSING_HOOKS": ["mirrorsite.openapi.describe_every_operation"],
}
