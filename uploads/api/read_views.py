"""Reading and verifying uploads: for staff, and for tokens with the scope `read`."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from mirrorsite.actors import actor_of, is_cross_origin
from mirrorsite.api import ProtectedView
from mirrorsite.openapi import answer, header, problem_responses
from mirrorsite.problems import Problem
from mirrorsite.rate_limits import RateLimitedPosts
from uploads import transitions
from uploads.api import examples
from uploads.api.errors import content_problem
from uploads.api.filters import UploadEventsQuery, UploadListQuery, page_of
from uploads.api.serializers import (
    UploadEventPageSerializer,
    UploadEventSerializer,
    UploadPageSerializer,
    UploadSerializer,
    VerificationSerializer,
)
from uploads.content import content_url
from uploads.exceptions import TransitionError
from uploads.models import Action, Status, Upload
from uploads.object_verification import VERIFIABLE, verify_upload

#: The canonical form (RFC 9562, section 4); Python's UUID() takes others as well.
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

_UPLOAD_SERIALIZER = UploadSerializer()
_EVENT_SERIALIZER = UploadEventSerializer()
_UPLOAD_PATH = f"/api/uploads/{examples.ID}"
_ID = OpenApiParameter(
    "upload_id",
    {"type": "string", "format": "uuid"},
    location="path",
    description="The upload's id.",
)


def _example_page(example: dict[str, Any]) -> dict[str, Any]:
    return {"results": [example], "next": None}


def _invalid_query(unknown: str, known: str) -> dict[str, str]:
    """Return the problem types of invalid queries, each with an example parameter."""
    return {
        "unknown-parameter": unknown,
        "repeated-parameter": known,
        "invalid-parameter": known,
    }


class UploadListView(ProtectedView):
    """Uploads, newest first, in pages; `next` is the URL of the next page."""

    staff_permission = "uploads.view_upload"

    @extend_schema(
        operation_id="upload_list",
        summary="Uploads, newest first",
        tags=["uploads"],
        parameters=[UploadListQuery],
        responses={
            200: answer(
                UploadPageSerializer, "A page.", _example_page(examples.UPLOAD)
            ),
            **problem_responses(
                "/api/uploads",
                *examples.PROBLEMS,
                fields=_invalid_query("colour", "limit"),
            ),
        },
    )
    def get(self, request: Request) -> Response:
        uploads, cursor = page_of(UploadListQuery.of(request))
        results = [_UPLOAD_SERIALIZER.describe(upload, request) for upload in uploads]
        following = cursor and _next_page(request, "cursor", cursor)
        return Response({"results": results, "next": following})


class UploadDetailView(ProtectedView):
    """One upload."""

    staff_permission = "uploads.view_upload"

    @extend_schema(
        operation_id="upload",
        summary="One upload",
        tags=["uploads"],
        parameters=[_ID],
        responses={
            200: answer(UploadSerializer, "The record.", examples.UPLOAD),
            **problem_responses(_UPLOAD_PATH, *examples.PROBLEMS, "upload-not-found"),
        },
    )
    def get(self, request: Request, upload_id: str) -> Response:
        return Response(_UPLOAD_SERIALIZER.describe(_upload(upload_id), request))


class UploadEventsView(ProtectedView):
    """The events of one upload, oldest first, in pages of up to 200."""

    staff_permission = "uploads.view_uploadevent"

    PAGE = 200

    @extend_schema(
        operation_id="upload_events",
        summary="What happened to an upload, oldest first",
        tags=["uploads"],
        parameters=[_ID, UploadEventsQuery],
        responses={
            200: answer(
                UploadEventPageSerializer, "A page.", _example_page(examples.EVENT)
            ),
            **problem_responses(
                f"{_UPLOAD_PATH}/events",
                *examples.PROBLEMS,
                "upload-not-found",
                fields=_invalid_query("before", "after"),
            ),
        },
    )
    def get(self, request: Request, upload_id: str) -> Response:
        after = UploadEventsQuery.of(request).get("after", 0)
        upload = _upload(upload_id)
        found = upload.events.filter(pk__gt=after).order_by("pk")
        events = list(found[: self.PAGE + 1])
        following = None
        if len(events) > self.PAGE:
            events.pop()
            following = _next_page(request, "after", events[-1].pk)
        results = [_EVENT_SERIALIZER.to_representation(event) for event in events]
        return Response({"results": results, "next": following})


class UploadContentView(ProtectedView):
    """Redirect to a URL of the object, valid for a minute; record a GET as an event.

    A HEAD request is redirected to a URL that is valid for HEAD only.
    """

    staff_permission = "uploads.download_upload"

    @extend_schema(
        operation_id="upload_content",
        summary="The object's bytes",
        tags=["uploads"],
        parameters=[
            _ID,
            header(
                "Location", "A URL of the object.", 302, type="string", format="uri"
            ),
        ],
        responses={
            302: OpenApiResponse(description="The object's URL."),
            **problem_responses(
                f"{_UPLOAD_PATH}/content",
                *examples.PROBLEMS,
                "upload-not-found",
                "object-missing",
                "upload-not-stored",
                "object-corrupted",
                "upload-purged",
                "store-refused",
                "trail-unavailable",
            ),
        },
    )
    def get(self, request: Request, upload_id: str) -> Response:
        if request.auth is None and is_cross_origin(request._request):
            # A link on another site's page would record a download that nobody intended.
            detail = "The request came from a page of another origin."
            raise Problem("permission-denied", detail)
        upload = _upload(upload_id)
        if upload.status != Status.STORED:
            raise content_problem(Status(upload.status))
        is_head = request.method == "HEAD"
        url = content_url(upload, "HEAD" if is_head else "GET")
        if not is_head:
            actor = actor_of(request)
            transitions.record_event(Action.DOWNLOADED, actor, upload=upload)
        return Response(status=302, headers={"Location": url})


class UploadVerifyView(RateLimitedPosts, ProtectedView):
    """Compare the object with its record, and record the result; a body is ignored."""

    staff_permission = "uploads.verify_upload"

    @extend_schema(
        operation_id="upload_verify",
        summary="Verify the object now",
        tags=["uploads"],
        parameters=[_ID],
        request=None,
        responses={
            200: answer(
                VerificationSerializer,
                "The result.",
                {"result": "verified", "differences": [], "upload": examples.UPLOAD},
            ),
            **problem_responses(
                f"{_UPLOAD_PATH}/verify",
                *examples.POST_PROBLEMS,
                "csrf-failed",
                "upload-not-found",
                "upload-not-verifiable",
            ),
        },
    )
    def post(self, request: Request, upload_id: str) -> Response:
        upload = _upload(upload_id)
        try:
            outcome = verify_upload(upload, actor=actor_of(request))
        except TransitionError as error:
            # Read again: another request may have changed it.
            status = _upload(upload_id).status
            detail = (
                f"The upload's status has just changed to {status}."
                if status in VERIFIABLE
                else f"An upload that is {status} has no object to verify."
            )
            raise Problem(
                "upload-not-verifiable", detail, upload_status=status
            ) from error
        return Response(
            {
                "result": outcome.action,
                "differences": list(outcome.differences),
                "upload": _UPLOAD_SERIALIZER.describe(upload, request),
            }
        )


class NotFoundView(ProtectedView):
    """Every other path under /api/uploads: 404, but only after authentication."""

    staff_permission = "uploads.view_upload"

    schema = None  # no operation

    def _refuse(self, request: Request) -> Response:
        raise Problem("not-found", "There is nothing at this path.")

    get = post = put = patch = delete = _refuse


def _upload(upload_id: str) -> Upload:
    if _UUID.fullmatch(upload_id):
        upload = Upload.objects.filter(pk=UUID(upload_id)).first()
        if upload is not None:
            return upload
    raise Problem("upload-not-found", "There is no upload with this id.")


def _next_page(request: Request, parameter: str, value: object) -> str:
    url = request.build_absolute_uri()
    return str(replace_query_param(url, parameter, value))
