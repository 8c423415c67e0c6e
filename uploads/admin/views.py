"""Pages of one upload that staff open or submit; each records an event."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from mirrorsite.actors import is_cross_site, staff_actor
from uploads import transitions
from uploads.admin import formatting
from uploads.audit.keys import public_text
from uploads.bulkhead import store_bulkhead
from uploads.content import content_url, read_start
from uploads.exceptions import (
    ObjectMissingError,
    StoreBusyError,
    StoreError,
    TransitionError,
)
from uploads.models import Action, AuditSeal, Upload
from uploads.object_verification import Method, verify_upload
from uploads.storage import upload_storage

#: Up to this size the bytes are read and hashed; above it the store's checksum is used.
READ_BYTES = 8 * 1024 * 1024
PREVIEW_BYTES = 4096
#: Events shown on a proof's page, which has a note when there are more.
MAX_PROVEN_EVENTS = 500
#: The answer to a request from another site's page, which would record an event that the
#: user did not intend.
CROSS_SITE = "Open this from the upload's own page."
STORE_BUSY = "too many requests are using the object store; try again."


def _page(upload: Upload) -> HttpResponseRedirect:
    return HttpResponseRedirect(
        reverse("admin:uploads_upload_change", args=[upload.pk])
    )


@require_POST
@permission_required("uploads.verify_upload", raise_exception=True)
def verify(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Compare the object with its record now."""
    upload = get_object_or_404(Upload, pk=pk)
    method: Method = "read" if upload.size <= READ_BYTES else "head"
    how = (
        "its bytes were read and hashed"
        if method == "read"
        else "the store's checksum was compared"
    )
    actor = staff_actor(request)
    try:
        with store_bulkhead().permit(actor.quota_key):
            outcome = verify_upload(upload, actor=actor, method=method)
    except StoreBusyError:
        messages.error(request, f"Not verified: {STORE_BUSY}")
    except TransitionError:
        messages.warning(request, f"Not verified: the upload is {upload.status}.")
    except StoreError as error:
        messages.error(request, f"Not verified, and nothing recorded: {error}.")
    else:
        if outcome.differences:
            found = "; ".join(outcome.differences)
            messages.error(request, f"The object is {outcome.action}: {found}.")
        else:
            messages.success(request, f"Verified: size and SHA-256 are right; {how}.")
    return _page(upload)


@require_GET
@never_cache
@permission_required("uploads.view_proof", raise_exception=True)
def proof(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show which seal covers each event, and how to verify that independently."""
    if is_cross_site(request):
        return HttpResponse(CROSS_SITE, status=403)
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
            "events": [
                (event, formatting.action_label(event.action)) for event in events
            ],
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
@never_cache
@permission_required("uploads.download_upload", raise_exception=True)
def download(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Redirect to a presigned URL of the object, valid for a minute."""
    if is_cross_site(request):
        return HttpResponse(CROSS_SITE, status=403)
    upload = get_object_or_404(Upload, pk=pk)
    try:
        address = content_url(upload)
    except StoreError as error:
        messages.error(request, f"No download: {error}.")
        return _page(upload)
    transitions.record_event(Action.DOWNLOADED, staff_actor(request), upload=upload)
    return HttpResponseRedirect(address)


@require_GET
@never_cache
@permission_required("uploads.download_upload", raise_exception=True)
def preview(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Return a small object as plain text, recorded as a download."""
    if is_cross_site(request):
        return HttpResponse(CROSS_SITE, status=403)
    upload = get_object_or_404(Upload, pk=pk)
    kind = "text/plain; charset=utf-8"
    if upload.size > PREVIEW_BYTES:
        return HttpResponse("Too large for a preview.", status=413, content_type=kind)
    actor = staff_actor(request)
    try:
        with store_bulkhead().permit(actor.quota_key):
            body = read_start(upload, PREVIEW_BYTES)
    except StoreBusyError:
        return HttpResponse(f"Not read: {STORE_BUSY}", status=503, content_type=kind)
    except ObjectMissingError:
        return HttpResponse("Not in the bucket.", status=404, content_type=kind)
    except StoreError as error:
        return HttpResponse(f"Not read: {error}.", status=502, content_type=kind)
    transitions.record_event(
        Action.DOWNLOADED, actor, upload=upload, detail={"preview": True}
    )
    return HttpResponse(body.decode("utf-8", "replace"), content_type=kind)
