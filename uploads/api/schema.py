"""The description of the upload endpoints."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

from mirrorsite.openapi import answer, problems, ref

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
_FAILED = {"upload_id": _ID, "upload_status": "failed"}
_BODY_PROBLEMS = (
    "parse-error",
    "body-not-object",
    "unknown-field",
    "invalid-size",
    "length-required",
    "body-too-large",
    "unsupported-media-type",
)

upload_random = extend_schema(
    operation_id="upload_random",
    summary="Upload a random text",
    description="Makes a text of random numbers, records the intent, puts the object"
    " into the bucket under a key of its own, and records what became of it.",
    tags=["uploads"],
    auth=[],
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
            "Location",
            type={"type": "string", "format": "uri"},
            description="The upload's own address.",
            location="header",
            response=[201],
        )
    ],
    responses={
        201: answer(ref("Uploaded"), "Stored and recorded.", UPLOADED_EXAMPLE),
        **problems(
            _PATH,
            *_BODY_PROBLEMS,
            "store-refused",
            "store-unavailable",
            "trail-unavailable",
            store_refused=_FAILED,
            store_unavailable=_FAILED,
        ),
    },
)
