"""The page at `/`: mirror a word, upload, see an upload's record, read readiness.

It works without scripts. An upload needs no login: it redirects to a signed link that
shows its record for an hour. Staff see as much of a record as in the API.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from django import forms
from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe
from rest_framework.exceptions import ErrorDetail

from mirrorsite.actors import actor_named, staff_actor
from mirrorsite.problems import Problem
from mirrorsite.rate_limits import limiter
from mirrorsite.readiness import readiness
from mirrorsite.tokens.authentication import CHALLENGE
from transforms.mirror import mirror
from transforms.query import MAX_WORD_CHARACTERS, QueryError, word_of
from uploads.api.errors import problem_of
from uploads.exceptions import UploadsError
from uploads.idempotency import IdempotencyKey
from uploads.models import Upload, UploadEvent
from uploads.services import create_upload

#: How long the link to a record is valid; staff can use it at any time.
LINK_AGE = timedelta(hours=1)
#: Latest events of an upload that the page shows; the admin shows all of them.
MAX_EVENTS = 20

#: Details of idempotency problems, worded for a form.
_FORM_DETAILS = {
    "idempotency-key-reused": "This form was sent before, with another size. Send the"
    " form below to create another upload.",
    "idempotency-key-in-use": "This form was sent before, and its upload is being"
    " processed. Send it again to see the record.",
}

_signer = TimestampSigner(salt="mirrorsite.home.upload")


class UploadForm(forms.Form):
    """A form with one `key` creates one upload, however often it is sent."""

    key = forms.UUIDField(required=False, widget=forms.HiddenInput, initial=uuid4)

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, label_suffix="")
        most = settings.UPLOAD_MAX_BYTES
        self.fields["size"] = forms.IntegerField(
            required=False,
            min_value=1,
            max_value=most,
            label="Size in bytes (optional)",
            help_text=f"From 1 to {most:,}. Without a size, the content is one number"
            " from 0 to 9999.",
        )


@require_http_methods(["GET", "HEAD", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _upload(request)
    try:
        if "word" in request.GET:
            return _page(request, **_mirror_context(request))
        if signed_id := request.GET.get("upload"):
            return _page(request, **_record_context(request, signed_id))
    except Problem as problem:
        return _page(request, problem)
    return _page(request)


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect to the icon; browsers request /favicon.ico for pages without an icon link."""
    return HttpResponseRedirect(
        static("uploads/icon.svg"), headers={"Cache-Control": "public, max-age=86400"}
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    if request.path_info != "/":
        detail = (
            "Nothing was changed: the form has expired, or the browser rejects cookies."
            " Go back, reload the page, and send its form again."
        )
        return render(request, "403.html", {"detail": detail}, status=403)
    return _page(
        request,
        Problem(
            "csrf-failed",
            "Nothing was uploaded: the form has expired, or the browser rejects"
            " cookies. Send the form below.",
        ),
    )


def _mirror_context(request: HttpRequest) -> dict[str, Any]:
    """Return the template's variables for the mirrored word; raises `Problem`."""
    try:
        word = word_of(request.META["QUERY_STRING"])
    except QueryError as error:
        raise Problem(error.code, str(error)) from error
    return {"word": word, "transformed": mirror(word)}


def _upload(request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST)
    rate_limit_headers: dict[str, str] = {}
    try:
        limiter.count(actor_named(request, "anonymous").quota_key, rate_limit_headers)
        upload = _create_or_find(request, form)
        # A redirect, so that reloading the page does not upload again.
        response: HttpResponse = HttpResponseRedirect(
            f"{_link_to(upload.pk)}#record",
            status=303,
            headers={"Cache-Control": "no-store"},
        )
    except (Problem, UploadsError) as error:
        problem = error if isinstance(error, Problem) else problem_of(error)
        if problem is None:
            raise
        if detail := _FORM_DETAILS.get(problem.slug):
            problem.detail = ErrorDetail(detail)
        # A key that is malformed, or was used with another size, would be refused again:
        # the page gets a form with a new key.
        is_spent = problem.slug == "idempotency-key-reused" or "key" in form.errors
        response = _page(request, problem, form=None if is_spent else form)
    for name, value in rate_limit_headers.items():
        response.headers[name] = value
    return response


def _create_or_find(request: HttpRequest, form: UploadForm) -> Upload:
    """Create the upload, or find the one that this form created.

    Raises `Problem` and `UploadsError`.
    """
    if settings.UPLOAD_AUTH == "token":
        detail = "Nothing was uploaded: uploading needs a token."
        raise Problem("not-authenticated", detail)
    if "key" in form.errors:
        detail = "Nothing was uploaded: the form was damaged. Send the new one below."
        raise Problem("invalid-parameter", detail)
    if not form.is_valid():
        detail = "Nothing was uploaded: the size was not valid. Correct it below."
        raise Problem("invalid-parameter", detail)
    is_staff = request.user.is_staff
    actor = staff_actor(request) if is_staff else actor_named(request, "anonymous")
    key = form.cleaned_data["key"]
    return create_upload(
        actor=actor,
        size=form.cleaned_data["size"],
        idempotency_key=key and IdempotencyKey(actor.idempotency_scope, str(key)),
    ).upload


def _link_to(upload_id: UUID | str) -> str:
    return f"{reverse('home')}?{urlencode({'upload': _signer.sign(str(upload_id))})}"


def _record_context(request: HttpRequest, signed_id: str) -> dict[str, Any]:
    """Return the template's variables for an upload's record; raises `Problem`.

    `signed_id` is the id with a signature; for staff the id alone is enough.
    """
    may_view = _may(request, "uploads.view_upload")
    try:
        if not may_view:
            _signer.unsign(signed_id, max_age=LINK_AGE)
        upload = Upload.objects.get(pk=UUID(signed_id.partition(":")[0]))
    except BadSignature as error:
        detail = (
            "This link to a record has expired or is not valid. Staff can log in to see"
            " the record."
        )
        raise Problem("permission-denied", detail) from error
    except (ValueError, Upload.DoesNotExist) as error:
        detail = "There is no upload with this id."
        raise Problem("upload-not-found", detail) from error
    events: list[UploadEvent] = []
    if _may(request, "uploads.view_uploadevent"):
        events = list(upload.events.order_by("-pk")[: MAX_EVENTS + 1])
    return {
        "upload": upload,
        "milliseconds": None
        if upload.duration is None
        else upload.duration / timedelta(milliseconds=1),
        "events": events[:MAX_EVENTS],
        "has_more_events": len(events) > MAX_EVENTS,
        "may_view": may_view,
        "may_download": _may(request, "uploads.download_upload"),
    }


def _may(request: HttpRequest, permission: str) -> bool:
    """Return True for staff with the permission, as the API does for their sessions."""
    return request.user.is_staff and request.user.has_perm(permission)


def _page(
    request: HttpRequest,
    problem: Problem | None = None,
    *,
    form: UploadForm | None = None,
    **context: Any,
) -> HttpResponse:
    """Render the page; only its readiness checks query the database."""
    upload_id = problem.extensions.get("upload_id") if problem else None
    retry_after = problem.retry_after if problem else None
    response = render(
        request,
        "mirrorsite/home.html",
        {
            "problem": problem,
            "request_id": request.META.get("mirrorsite.request_id"),
            "retry_after": retry_after,
            "record_url": upload_id and _link_to(str(upload_id)),
            "form": form or UploadForm(),
            "needs_token": settings.UPLOAD_AUTH == "token",
            "max_word_characters": MAX_WORD_CHARACTERS,
            "checks": readiness.checks().items(),
            **context,
        },
        status=problem.status_code if problem else 200,
    )
    response.headers["Cache-Control"] = "no-store"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response
