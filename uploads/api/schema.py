"""The description of the upload endpoints."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)

from mirrorsite.openapi import answer, header, problems, ref

_ID = "01937b5e-2f0a-7c3d-9a41-5b7f3f0e8c11"
_PATH = "/api/upload-random"
UPLOADED_EXAMPLE = {
    "uploaded": "ok",
    "id": _ID,
    "key": f"uploads/2026/11/23/{_ID}.txt",
    "bucket": "mirrorsite-uploads",
    "number": 4711,
    "size": 4,
    "sha256": "82b84ef1271b88f4af5f3e8f2bb8b6f35e1b8dee0b7bbb9f4ea4a5fc0d15fa2d",
    "etag": "5b2ef0d5ba0fae7a7ba76a0a7d7a8d3c",
    "version_id": None,
    "status": "stored",
    "created_at": "2026-11-23T18:45:18.000000Z",
    "url": f"http://127.0.0.1:4545/api/uploads/{_ID}",
}
_RECORD_EXAMPLE = {
    **{name: value for name, value in UPLOADED_EXAMPLE.items() if name != "uploaded"},
    "requester": "anonymous",
    "client_address": "192.0.2.7",
    "user_agent": "curl/8.0",
    "request_id": "0af7651916cd43dd8448eb211c80319c",
    "error": None,
    "stored_at": "2026-11-23T18:45:18.012000Z",
    "duration_seconds": 0.012,
}
_EVENT_EXAMPLE = {
    "id": 2,
    "action": "stored",
    "at": "2026-11-23T18:45:18.012000Z",
    "actor": "anonymous",
    "request_id": "0af7651916cd43dd8448eb211c80319c",
    "detail": {"size": 4, "etag": UPLOADED_EXAMPLE["etag"]},
    "seal": None,
}
_FAILED = {"upload_id": _ID, "upload_status": "failed"}
_BODY_PROBLEMS = (
    "parse-error",
    "body-not-object",
    "unknown-field",
    "invalid-size",
    "request-timeout",
    "body-too-large",
    "unsupported-media-type",
    "invalid-idempotency-key",
)
_AUTH_PROBLEMS = ("not-authenticated", "authentication-failed", "permission-denied")
#: Without quotes (no comma, and no space at either end: HTTP drops those), or with.
_KEY = r'^([!#-+\--~]([ -+\--~]{0,253}[!-+\--~])?|"[ !#-\[\]-~]{1,255}")$'
_UPLOADERS: Any = [{}, {"token": []}]
_READERS: Any = [{"token": []}, {"session": []}]
_LIMITS = ("RateLimit-Policy", "RateLimit")

upload_random = extend_schema(
    operation_id="upload_random",
    summary="Upload a random text",
    description="Makes a text of random numbers, records the intent, puts the object"
    " into the bucket under a key of its own, and records what became of it.",
    tags=["uploads"],
    # Open, unless the operator sets UPLOAD_AUTH=token.
    auth=_UPLOADERS,
    request={
        "application/json": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "size": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 67108864,
                    "description": "Exactly so many bytes of random numbers, one per"
                    " line; without it the object holds one number from 0 to 9999."
                    " The maximum is configurable (UPLOAD_MAX_BYTES).",
                }
            },
        }
    },
    examples=[
        OpenApiExample("ten bytes", value={"size": 10}, request_only=True),
        OpenApiExample("one number", value={}, request_only=True),
    ],
    parameters=[
        OpenApiParameter(
            "Idempotency-Key",
            type={"type": "string", "pattern": _KEY},
            location="header",
            description="Printable ASCII, 1 to 255 characters, in double quotes or,"
            " without a comma, unquoted: the same key and body make one upload, however"
            " often they are sent.",
        ),
        header("Location", 201),
        header("Idempotent-Replayed", 201),
        *(
            header(name, 201, 400, 401, 403, 408, 409, 422, 429, 502, 503)
            for name in _LIMITS
        ),
    ],
    responses={
        201: answer(ref("Uploaded"), "Stored and recorded.", UPLOADED_EXAMPLE),
        **problems(
            _PATH,
            *_BODY_PROBLEMS,
            "authentication-failed",
            "not-authenticated",
            "permission-denied",
            "idempotency-key-in-use",
            "idempotency-key-reused",
            "throttled",
            "store-refused",
            "store-busy",
            "store-unavailable",
            "trail-unavailable",
            "database-unavailable",
            store_refused=_FAILED,
            store_unavailable=_FAILED,
        ),
    },
)

_upload_id = OpenApiParameter(
    "upload_id",
    type={"type": "string", "format": "uuid"},
    location="path",
    description="The upload's id.",
)


def _pages_of(items: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["results", "next"],
        "additionalProperties": False,
        "properties": {
            "results": {"type": "array", "items": items},
            "next": {
                "type": ["string", "null"],
                "format": "uri",
                "description": "The address of the next page.",
            },
        },
    }


def _wrong(field: str, code: str) -> dict[str, Any]:
    return {"errors": [{"field": field, "code": code, "detail": "What is wrong."}]}


def _text(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name,
        type={
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            # What Python calls printable is more; this much is sure to be taken.
            "pattern": "^[ -~]+$",
        },
        description=description,
    )


def _moment(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, type={"type": "string", "format": "date-time"}, description=description
    )


upload_list = extend_schema(
    operation_id="upload_list",
    summary="Uploads, newest first",
    tags=["uploads"],
    auth=_READERS,
    parameters=[
        OpenApiParameter("status", type=ref("UploadStatus")),
        _moment("created_after", "RFC 3339; that moment included."),
        _moment("created_before", "RFC 3339; that moment not included."),
        _text("key_prefix", "How the object's key begins."),
        _text("request_id", "The whole identifier."),
        OpenApiParameter(
            "limit",
            type={"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
            description="Uploads on a page.",
        ),
        OpenApiParameter("cursor", description="From the `next` of an earlier answer."),
    ],
    responses={
        200: answer(
            _pages_of(ref("Upload")),
            "A page.",
            {"results": [_RECORD_EXAMPLE], "next": None},
        ),
        **problems(
            "/api/uploads",
            "unknown-parameter",
            "repeated-parameter",
            "invalid-parameter",
            *_AUTH_PROBLEMS,
            "database-unavailable",
            unknown_parameter=_wrong("colour", "unknown-parameter"),
            repeated_parameter=_wrong("limit", "repeated-parameter"),
            invalid_parameter=_wrong("limit", "invalid-parameter"),
        ),
    },
)
_ONE = f"/api/uploads/{_ID}"
upload_detail = extend_schema(
    operation_id="upload",
    summary="One upload",
    tags=["uploads"],
    auth=_READERS,
    parameters=[_upload_id],
    responses={
        200: answer(ref("Upload"), "The record.", _RECORD_EXAMPLE),
        **problems(_ONE, *_AUTH_PROBLEMS, "upload-not-found", "database-unavailable"),
    },
)
upload_events = extend_schema(
    operation_id="upload_events",
    summary="What happened to an upload, oldest first",
    tags=["uploads"],
    auth=_READERS,
    parameters=[
        _upload_id,
        OpenApiParameter(
            "after",
            type={"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
            description="Events after the one with this id.",
        ),
    ],
    responses={
        200: answer(
            _pages_of(ref("UploadEvent")),
            "A page.",
            {"results": [_EVENT_EXAMPLE], "next": None},
        ),
        **problems(
            f"{_ONE}/events",
            "unknown-parameter",
            "repeated-parameter",
            "invalid-parameter",
            *_AUTH_PROBLEMS,
            "upload-not-found",
            "database-unavailable",
            unknown_parameter=_wrong("before", "unknown-parameter"),
            repeated_parameter=_wrong("after", "repeated-parameter"),
            invalid_parameter=_wrong("after", "invalid-parameter"),
        ),
    },
)
upload_content = extend_schema(
    operation_id="upload_content",
    summary="The object's bytes",
    description="A redirect to the object store, valid for a minute, and recorded as an"
    " event. HEAD is redirected to an address that is good for HEAD alone.",
    tags=["uploads"],
    auth=_READERS,
    parameters=[_upload_id, header("Location", 302)],
    responses={
        302: OpenApiResponse(description="Where the bytes are."),
        **problems(
            f"{_ONE}/content",
            *_AUTH_PROBLEMS,
            "upload-not-found",
            "object-missing",
            "upload-not-stored",
            "object-corrupted",
            "upload-purged",
            "store-refused",
            "trail-unavailable",
            "database-unavailable",
        ),
    },
)
upload_verify = extend_schema(
    operation_id="upload_verify",
    summary="Look at the object now",
    description="Compares the object with its record, and records what was seen. A"
    " body is ignored.",
    tags=["uploads"],
    auth=_READERS,
    parameters=[_upload_id, *(header(name, 200) for name in _LIMITS)],
    request=None,
    responses={
        200: answer(
            {
                "type": "object",
                "required": ["result", "differences", "upload"],
                "additionalProperties": False,
                "properties": {
                    "result": {
                        "type": "string",
                        "enum": ["verified", "missing", "corrupted"],
                    },
                    "differences": {"type": "array", "items": {"type": "string"}},
                    "upload": ref("Upload"),
                },
            },
            "What was seen.",
            {"result": "verified", "differences": [], "upload": _RECORD_EXAMPLE},
        ),
        **problems(
            f"{_ONE}/verify",
            *_AUTH_PROBLEMS,
            "csrf-failed",
            "request-timeout",
            "body-too-large",
            "upload-not-found",
            "upload-not-verifiable",
            "throttled",
            "store-refused",
            "store-busy",
            "store-unavailable",
            "trail-unavailable",
            "database-unavailable",
        ),
    },
)
