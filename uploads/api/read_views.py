"""Looking at uploads: staff and tokens with the scope `read`, nobody else."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.http.request import QueryDict
from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite.actors import actor_of, client_key_of, credentials_of
from mirrorsite.api import ProtectedView
from mirrorsite.problems import InvalidRequest, Problem
from mirrorsite.query import query_of
from mirrorsite.rate_limits import RateLimitedPosts
from mirrorsite.staff import is_from_elsewhere
from uploads.api import schema
from uploads.api.errors import busy_problem, store_problem, trail_problem
from uploads.api.filters import ListQuery
from uploads.api.serializers import describe_event, describe_record
from uploads.audit import log
from uploads.bulkhead import store_bulkhead
from uploads.content import content_url, require_stored
from uploads.exceptions import (
    ContentUnavailableError,
    StoreBusyError,
    StoreError,
    TrailUnavailableError,
    TransitionError,
)
from uploads.models import Action, Status, Upload
from uploads.verification import verify_upload

#: The canonical form (RFC 9562, section 4); Python's UUID() takes others as well.
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_NO_CONTENT: dict[Status, tuple[int, str, str]] = {
    Status.PENDING: (409, "upload-not-stored", "It is not known yet to be stored."),
    Status.FAILED: (409, "upload-not-stored", "The upload failed."),
    Status.CORRUPTED: (
        409,
        "object-corrupted",
        "The bucket holds something else than what was uploaded.",
    ),
    Status.MISSING: (404, "object-missing", "The object is no longer in the bucket."),
    Status.PURGED: (410, "upload-purged", "The object was deleted on purpose."),
}


class UploadListView(ProtectedView):
    """Uploads, newest first, in pages; `next` is the address of the page after."""

    staff_permission = "uploads.view_upload"

    @schema.upload_list
    def get(self, request: Request) -> Response:
        query = ListQuery.of(query_of(request))
        uploads, cursor = query.page_of(Upload.objects.all())
        following = None
        if cursor is not None:
            parameters = request.query_params.copy()
            parameters["cursor"] = str(cursor)
            following = _address(request, parameters)
        return Response(
            {
                "results": [describe_record(upload, request) for upload in uploads],
                "next": following,
            }
        )


class UploadDetailView(ProtectedView):
    """One upload."""

    staff_permission = "uploads.view_upload"

    @schema.upload_detail
    def get(self, request: Request, upload_id: str) -> Response:
        return Response(describe_record(_upload(upload_id), request))


class UploadEventsView(ProtectedView):
    """What happened to one upload, oldest first, in pages of `PAGE` events."""

    staff_permission = "uploads.view_uploadevent"

    PAGE = 200

    @schema.upload_events
    def get(self, request: Request, upload_id: str) -> Response:
        after = _event_id(query_of(request))
        upload = _upload(upload_id)
        found = upload.events.filter(pk__gt=after).order_by("pk")
        events = list(found[: self.PAGE + 1])
        following = None
        if len(events) > self.PAGE:
            events.pop()
            parameters = QueryDict(mutable=True)
            parameters["after"] = str(events[-1].pk)
            following = _address(request, parameters)
        return Response(
            {
                "results": [describe_event(event) for event in events],
                "next": following,
            }
        )


class UploadContentView(ProtectedView):
    """The object's bytes: a redirect to the store, valid for a minute.

    Asking for it is an event, whoever does; HEAD is not, as it leads to no content.
    """

    staff_permission = "uploads.download_upload"

    @schema.upload_content
    def get(self, request: Request, upload_id: str) -> Response:
        is_staff = credentials_of(request)[1] is None
        if is_staff and is_from_elsewhere(request._request):
            # A link on another site would make it look as if they had read it.
            raise Problem(
                403, "permission-denied", "Another site's page asked for this."
            )
        upload = _upload(upload_id)
        try:
            require_stored(upload)
            if request.method == "HEAD":
                address = content_url(upload, "HEAD")
            else:
                address = content_url(upload)
                log.note(Action.DOWNLOADED, actor_of(request), upload=upload)
        except ContentUnavailableError as error:
            status, slug, detail = _NO_CONTENT[error.status]
            raise Problem(status, slug, detail, upload_status=error.status) from error
        except StoreError as error:
            raise store_problem(error) from error
        except TrailUnavailableError as error:
            raise trail_problem(error) from error
        return Response(status=302, headers={"Location": address})


class UploadVerifyView(RateLimitedPosts, ProtectedView):
    """Compare the object with its record now, and record what was seen."""

    staff_permission = "uploads.verify_upload"

    @schema.upload_verify
    def post(self, request: Request, upload_id: str) -> Response:
        upload = _upload(upload_id)
        try:
            with store_bulkhead().place(client_key_of(request)):
                seen = verify_upload(upload, actor=actor_of(request))
        except StoreBusyError as error:
            raise busy_problem() from error
        except TransitionError as error:
            raise Problem(
                409,
                "upload-not-verifiable",
                f"An upload that is {upload.status} has no object to verify,"
                " or its state changed just now.",
                upload_status=upload.status,
            ) from error
        except StoreError as error:
            raise store_problem(error) from error
        except TrailUnavailableError as error:
            raise trail_problem(error) from error
        return Response(
            {
                "result": seen.action,
                "differences": list(seen.differences),
                "upload": describe_record(upload, request),
            }
        )


class NothingHereView(ProtectedView):
    """Every other path below /api/uploads: a 404, for those who may know that."""

    staff_permission = "uploads.view_upload"

    schema = None  # no operation

    def _refuse(self, request: Request) -> Response:
        raise Problem(404, "not-found", "There is nothing at this path.")

    get = post = put = patch = delete = _refuse


def _upload(upload_id: str) -> Upload:
    if _UUID.fullmatch(upload_id):
        upload = Upload.objects.filter(pk=UUID(upload_id)).first()
        if upload is not None:
            return upload
    raise Problem(404, "upload-not-found", "There is no upload with this id.")


def _event_id(parameters: QueryDict) -> int:
    for name in parameters:
        if name != "after":
            raise InvalidRequest(
                name[:100],
                "unknown-parameter",
                f"The parameter {name[:100]!r} is not known; allowed is after.",
            )
    if len(parameters.getlist("after")) > 1:
        raise InvalidRequest(
            "after", "repeated-parameter", "after is given more than once."
        )
    value = parameters.get("after", "0")
    if not re.fullmatch("[0-9]{1,18}", value):
        raise InvalidRequest(
            "after", "invalid-parameter", "after must be the id of an event."
        )
    return int(value)


def _address(request: Request, parameters: Any) -> str:
    return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")
