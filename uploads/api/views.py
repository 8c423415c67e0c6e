"""The upload endpoint: parses the request, calls the service, answers."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite.actors import Actor, actor_of
from mirrorsite.api import DatabaseView
from mirrorsite.openapi import answer, header, problem_responses
from mirrorsite.problems import InvalidRequest
from mirrorsite.rate_limits import RateLimitedPosts
from mirrorsite.tokens.authentication import MayUpload
from uploads.api import examples
from uploads.api.serializers import (
    UploadedSerializer,
    UploadFieldsSerializer,
    UploadRandomSerializer,
)
from uploads.idempotency import MAX_KEY, IdempotencyKey, parse_key
from uploads.models import Status
from uploads.services import create_upload

_UPLOAD_SERIALIZER = UploadFieldsSerializer()


class UploadRandomView(RateLimitedPosts, DatabaseView):
    """Generate a text of random numbers and store it in the bucket.

    The intent is recorded before the object is stored, and the outcome afterwards.
    """

    permission_classes = (MayUpload,)

    @extend_schema(
        operation_id="upload_random",
        summary="Upload a random text",
        tags=["uploads"],
        # Open, unless the operator sets UPLOAD_AUTH=token.
        auth=[{}, {"token": []}],  # type: ignore[list-item]
        request=UploadRandomSerializer,
        examples=[
            OpenApiExample("ten bytes", value={"size": 10}, request_only=True),
            OpenApiExample("one number", value={}, request_only=True),
        ],
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                {
                    "type": "string",
                    # Unquoted (no comma, and no space at either end, which HTTP strips),
                    # or quoted.
                    "pattern": r"^([!#-+\--~]([ -+\--~]{0,253}[!-+\--~])?"
                    r'|"[ !#-\[\]-~]{1,255}")$',
                },
                location="header",
                description="1 to 255 printable ASCII characters in double quotes, which"
                " are optional for a key without a comma. The same key and body create one"
                " upload, however often they are sent.",
            ),
            header("Location", "The upload's URL.", 201, type="string", format="uri"),
            header(
                "Idempotent-Replayed",
                "true if this repeats the answer to an earlier request with this key.",
                201,
                const="true",
            ),
        ],
        responses={
            201: answer(UploadedSerializer, "Stored and recorded.", examples.UPLOADED),
            **problem_responses(
                "/api/upload-random",
                *examples.POST_PROBLEMS,
                "parse-error",
                "unsupported-media-type",
                "idempotency-key-in-use",
                "idempotency-key-reused",
                fields={
                    "body-not-object": "body",
                    "unknown-field": "length",
                    "invalid-size": "size",
                    "invalid-idempotency-key": "Idempotency-Key",
                },
                members={
                    "store-refused": examples.FAILED,
                    "store-unavailable": examples.FAILED,
                },
            ),
        },
    )
    def post(self, request: Request) -> Response:
        meta = request._request.META
        size = None
        # A chunked body has a CONTENT_LENGTH too: the server has read it by now.
        if meta.get("CONTENT_LENGTH") not in {None, "", "0"}:
            size = UploadRandomSerializer().run_validation(request.data).get("size")
        actor = actor_of(request)
        sent_key = meta.get("HTTP_IDEMPOTENCY_KEY")
        key = None if sent_key is None else idempotency_key(sent_key, actor)
        created = create_upload(actor=actor, size=size, idempotency_key=key)
        body = {
            "uploaded": "ok",
            **_UPLOAD_SERIALIZER.describe(created.upload, request),
        }
        headers = {"Location": body["url"]}
        if created.is_replayed:
            # The first answer again, whatever happened to the object since.
            body["status"] = Status.STORED
            headers["Idempotent-Replayed"] = "true"
        return Response(body, status=201, headers=headers)


def idempotency_key(value: str, actor: Actor) -> IdempotencyKey:
    """Return the key in a header's value; raises `InvalidRequest`."""
    key = parse_key(value)
    if key is None:
        raise InvalidRequest(
            "Idempotency-Key",
            "invalid-idempotency-key",
            f"Idempotency-Key must be given once, with 1 to {MAX_KEY} printable ASCII"
            " characters in double quotes, which are optional for a key without a"
            " comma.",
        )
    return IdempotencyKey(actor.idempotency_scope, key)
