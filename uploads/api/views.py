"""The upload endpoint: parse, call the service, present."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite.actors import actor_of, client_key_of
from mirrorsite.api import DatabaseView
from mirrorsite.problems import InvalidRequest
from mirrorsite.rate_limits import RateLimitedPosts
from mirrorsite.tokens.permissions import MayUpload
from uploads.api import schema
from uploads.api.errors import upload_problems
from uploads.api.idempotency_keys import idempotency_key_of
from uploads.api.serializers import describe
from uploads.bulkhead import store_bulkhead
from uploads.models import Status
from uploads.services import create_upload


class UploadRandomView(RateLimitedPosts, DatabaseView):
    """Put a random text into the bucket."""

    permission_classes = (MayUpload,)

    @schema.upload_random
    def post(self, request: Request) -> Response:
        size = requested_size(request)
        key = idempotency_key_of(request)
        actor = actor_of(request)
        with upload_problems(), store_bulkhead().place(client_key_of(request)):
            created = create_upload(actor=actor, size=size, idempotency_key=key)
        body = describe(created.upload, request)
        headers = {"Location": body["url"]}
        if created.is_replayed:
            # The first answer again, whatever became of the object since.
            body["status"] = Status.STORED
            headers["Idempotent-Replayed"] = "true"
        return Response({"uploaded": "ok", **body}, status=201, headers=headers)


def requested_size(request: Request) -> int | None:
    """Return the body's `size`, None when there is none; raises `Problem`."""
    if not _has_body(request):
        return None
    body = request.data
    if not isinstance(body, dict):
        raise InvalidRequest(
            "body",
            "body-not-object",
            'The body is not a JSON object such as {"size": 10}.',
        )
    unknown = sorted(set(body) - {"size"})
    if unknown:
        name = unknown[0][:100]
        raise InvalidRequest(
            name, "unknown-field", f"The field {name!r} is not known; allowed is size."
        )
    if "size" not in body:
        return None
    size = body["size"]
    most = settings.UPLOAD_MAX_BYTES
    # bool is a subclass of int in Python, and true is no size.
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= most:
        raise InvalidRequest(
            "size", "invalid-size", f"size must be a whole number from 1 to {most}."
        )
    return size


def _has_body(request: Request) -> bool:
    # The server reads a chunked body first, and then says its length as well.
    return request._request.META.get("CONTENT_LENGTH") not in {None, "", "0"}
