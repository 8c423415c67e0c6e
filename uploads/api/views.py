"""The upload endpoint: parse, call the service, present."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite.api import OpenView
from mirrorsite.problems import InvalidRequest, Problem
from uploads import services
from uploads.api.callers import caller_of
from uploads.exceptions import (
    StoreUnavailableError,
    TrailUnavailableError,
    UploadFailedError,
)
from uploads.models import Status, Upload

#: What a 503 asks the client to wait, in seconds.
RETRY_AFTER_SECONDS = 5


class UploadRandomView(OpenView):
    """Put a random text into the bucket."""

    def post(self, request: Request) -> Response:
        size = requested_size(request)
        try:
            upload = services.upload_random(
                caller=caller_of(request._request), size=size
            )
        except UploadFailedError as error:
            raise _store_problem(error) from error
        except TrailUnavailableError as error:
            raise _trail_problem(error) from error
        body = describe(upload, request)
        return Response(
            {"uploaded": "ok", **body}, status=201, headers={"Location": body["url"]}
        )


def describe(upload: Upload, request: Request) -> dict[str, Any]:
    """Return an upload as the API shows it; `url` is its own address in this API."""
    return {
        "id": str(upload.pk),
        "key": upload.key,
        "bucket": upload.bucket,
        "number": upload.number,
        "size": upload.size,
        "sha256": upload.sha256,
        "etag": upload.etag,
        "version_id": upload.version_id or None,
        "status": upload.status,
        "created_at": upload.created_at.isoformat().replace("+00:00", "Z"),
        "url": request.build_absolute_uri(f"/api/uploads/{upload.pk}"),
    }


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
    meta = request._request.META
    if meta.get("CONTENT_LENGTH") not in {None, "", "0"}:
        return True
    return "chunked" in meta.get("HTTP_TRANSFER_ENCODING", "").lower()


def _store_problem(error: UploadFailedError) -> Problem:
    upload = error.upload
    state = {"upload_id": str(upload.pk), "upload_status": upload.status}
    if isinstance(error.__cause__, StoreUnavailableError):
        return Problem(
            503,
            "store-unavailable",
            f"The object store is unavailable; the upload is recorded as {upload.status}.",
            retry_after=RETRY_AFTER_SECONDS,
            **state,
        )
    return Problem(
        502,
        "store-refused",
        f"The object store refused the upload; it is recorded as {upload.status}.",
        **state,
    )


def _trail_problem(error: TrailUnavailableError) -> Problem:
    if error.upload_id is None:
        detail = "The database is unavailable, so nothing was uploaded."
        state = {}
    else:
        detail = "The database went away; the upload's record is pending."
        state = {"upload_id": str(error.upload_id), "upload_status": Status.PENDING}
    return Problem(
        503, "trail-unavailable", detail, retry_after=RETRY_AFTER_SECONDS, **state
    )
