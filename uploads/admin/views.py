"""Views of one upload: its page, and verify, proof, download, preview.

Each of them except the page records an event.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_safe,
)

from mirrorsite.actors import is_cross_origin, staff_actor
from uploads import transitions
from uploads.audit.keys import public_text
from uploads.bulkhead import store_bulkhead
from uploads.content import content_url
from uploads.exceptions import (
    ObjectMissingError,
    StoreBusyError,
    StoreError,
    TransitionError,
)
from uploads.models import Action, AuditSeal, Status, Upload, UploadEvent
from uploads.object_verification import VERIFIABLE, Method, verify_upload
from uploads.storage import storage_of, upload_storage

#: Up to this size `verify` reads and hashes the bytes; for larger objects it compares
#: the store's checksum.
READ_BYTES = 8 * 1024 * 1024
PREVIEW_BYTES = 4096
#: Events shown as proof; the page states when there are more.
MAX_PROVEN_EVENTS = 500
#: Events shown on an upload's page; the rest are in the list of events.
MAX_EVENTS = 200
#: The URL name of the page of one upload.
_PAGE = "admin:uploads_upload_change"
_View = Callable[[HttpRequest, UUID], HttpResponse]


def _details(event: UploadEvent) -> list[tuple[str, str]]:
    """Return names and values of an event's detail; values other than text as JSON."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in event.detail.items()
    ]


@require_safe
def page(request: HttpRequest, upload: Upload) -> HttpResponse:
    """Show the record of an upload and its events; there is no form."""
    may = request.user.has_perm
    events, has_more_events = None, False
    if may("uploads.view_uploadevent"):
        newest = list(upload.events.order_by("-id")[: MAX_EVENTS + 1])
        has_more_events = len(newest) > MAX_EVENTS
        events = [(event, _details(event)) for event in newest[:MAX_EVENTS]]
    return TemplateResponse(
        request,
        "admin/uploads/upload/page.html",
        {
            **admin.site.each_context(request),
            "title": "Upload",
            "opts": Upload._meta,
            "upload": upload,
            "size": f"{upload.size:,}",
            "milliseconds": None
            if upload.duration is None
            else upload.duration / timedelta(milliseconds=1),
            "events": events,
            "has_more_events": has_more_events,
            "may_verify": may("uploads.verify_upload") and upload.status in VERIFIABLE,
            "has_content": upload.status in {Status.STORED, Status.CORRUPTED},
            "has_preview": upload.size <= PREVIEW_BYTES,
        },
    )


@require_http_methods(["GET", "POST"])
@permission_required("uploads.verify_upload", raise_exception=True)
def verify(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Compare the object with its record now; a GET only leads back to its page.

    The login page redirects here if the session had expired when the form was sent.
    """
    upload = get_object_or_404(Upload, pk=pk)
    if request.method == "GET":
        return redirect(_PAGE, upload.pk)
    method: Method = "read" if upload.size <= READ_BYTES else "head"
    try:
        outcome = verify_upload(upload, actor=staff_actor(request), method=method)
    except TransitionError as error:
        messages.warning(request, f"Not verified: {error}")
    except (StoreBusyError, StoreError) as error:
        messages.error(request, f"Not verified, and nothing recorded: {error}.")
    else:
        if outcome.differences:
            found = "; ".join(outcome.differences)
            messages.error(request, f"The object is {outcome.action}: {found}.")
        else:
            how = "its bytes were read and hashed"
            if method == "head":
                how = "the store's checksum was compared"
            messages.success(request, f"Verified: size and SHA-256 match; {how}.")
    return redirect(_PAGE, upload.pk)


def _same_origin(view: _View) -> _View:
    """Refuse a request that a page of another origin caused.

    A link there would record an event that the user did not intend.
    """

    @wraps(view)
    def checked_view(request: HttpRequest, pk: UUID) -> HttpResponse:
        if is_cross_origin(request):
            return HttpResponse("Open this from the upload's own page.", status=403)
        return view(request, pk)

    return checked_view


@require_GET
@permission_required("uploads.view_proof", raise_exception=True)
@_same_origin
def proof(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show which seal covers each event, and how to verify that independently."""
    upload = get_object_or_404(Upload, pk=pk)
    newest = list(upload.events.order_by("-id")[: MAX_PROVEN_EVENTS + 1])
    events = newest[:MAX_PROVEN_EVENTS][::-1]
    transitions.record_event(Action.PROOF_SHOWN, staff_actor(request), upload=upload)
    return TemplateResponse(
        request,
        "admin/uploads/upload/proof.html",
        {
            **admin.site.each_context(request),
            "title": "Proof",
            "opts": Upload._meta,
            "upload": upload,
            "events": events,
            "seals": AuditSeal.objects.filter(
                number__in={event.seal_id for event in events}
            ).order_by("number"),
            "unsealed": sum(event.seal_id is None for event in events),
            "is_cut": len(newest) > len(events),
            "bucket": upload_storage().bucket_name,
            "public_keys": [
                public_text(key) for key in settings.AUDIT_PUBLIC_KEYS.values()
            ],
        },
    )


@require_GET
@permission_required("uploads.download_upload", raise_exception=True)
@_same_origin
def download(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Redirect to a presigned URL of the object, valid for a minute."""
    upload = get_object_or_404(Upload, pk=pk)
    try:
        url = content_url(upload)
    except StoreError as error:
        messages.error(request, f"The object cannot be downloaded: {error}.")
        return redirect(_PAGE, upload.pk)
    transitions.record_event(Action.DOWNLOADED, staff_actor(request), upload=upload)
    return HttpResponseRedirect(url)


@require_GET
@permission_required("uploads.download_upload", raise_exception=True)
@_same_origin
def preview(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Return a small object as plain text, recorded as a download."""
    upload = get_object_or_404(Upload, pk=pk)
    kind = "text/plain; charset=utf-8"
    if upload.size > PREVIEW_BYTES:
        return HttpResponse("Too large for a preview.", status=413, content_type=kind)
    actor = staff_actor(request)
    try:
        with store_bulkhead().permit(actor.quota_key):
            # The first chunk is enough: only an object larger than recorded has more.
            body = next(
                storage_of(upload).read(upload.key, PREVIEW_BYTES, upload.version_id),
                b"",
            )
    except ObjectMissingError:
        text = "The object is not in the bucket."
        return HttpResponse(text, status=404, content_type=kind)
    except (StoreBusyError, StoreError) as error:
        status = 503 if isinstance(error, StoreBusyError) else 502
        text = f"The object cannot be read: {error}."
        return HttpResponse(text, status=status, content_type=kind)
    transitions.record_event(
        Action.DOWNLOADED, actor, upload=upload, detail={"preview": True}
    )
    return HttpResponse(body.decode("utf-8", "replace"), content_type=kind)
