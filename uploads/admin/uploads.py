"""The list of uploads, and the page of one upload."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mirrorsite.admin.changelist import BigTableAdmin
from mirrorsite.admin.filters import ChoiceFilter, TimeFilter
from uploads.admin import formatting, views
from uploads.admin.actions import export_csv, export_jsonl, verify_selected
from uploads.admin.formatting import column
from uploads.admin.search import RequesterFilter, search_uploads
from uploads.models import Status, Upload, UploadEvent
from uploads.object_verification import VERIFIABLE

#: Events shown on an upload's page; the rest are in the list of events.
MAX_EVENTS = 200


def _key_link(upload: Upload) -> SafeString:
    return format_html(
        '<a href="{}" title="{}">{}</a> {}',
        reverse("admin:uploads_upload_change", args=[upload.pk]),
        upload.key,
        formatting.short_key(upload.key),
        formatting.copy_button(upload.key, name="key"),
    )


@admin.register(Upload)
class UploadAdmin(BigTableAdmin[Upload]):
    list_display = (
        column("Key", _key_link),
        column("Status", lambda upload: formatting.label(upload.status)),
        column("Size", lambda upload: formatting.size_in_words(upload.size)),
        column("Age", lambda upload: formatting.age(upload.created_at)),
        column("Requester", lambda upload: upload.requester_name),
    )
    list_display_links = None  # the key is a link already
    list_filter = (("status", ChoiceFilter), TimeFilter, RequesterFilter)
    search_fields = ("id", "key", "request_id", "sha256")
    search_help_text = (
        "The beginning of an id, key, request id or SHA-256. Keys and request ids are"
        " case-sensitive. Shows up to 500 of each."
    )
    search = staticmethod(search_uploads)
    ordering = ("-created_at", "-id")
    actions = (verify_selected, export_csv, export_jsonl)

    def has_verify_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("uploads.verify_upload")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path(f"<uuid:pk>/{name}/", wrap(view), name=f"uploads_upload_{name}")
            for name, view in {
                "verify": views.verify,
                "proof": views.proof,
                "download": views.download,
                "preview": views.preview,
            }.items()
        ] + super().get_urls()

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the page of one upload, which has no form."""
        is_read = request.method in {"GET", "HEAD"} and object_id is not None
        if not is_read or not self.has_view_permission(request):
            raise PermissionDenied
        try:
            upload = Upload.objects.get(pk=UUID(object_id))
        except (ValueError, Upload.DoesNotExist) as error:
            raise Http404 from error
        may = request.user.has_perm
        events, has_more_events = None, False
        if may("uploads.view_uploadevent"):
            newest = list(upload.events.order_by("-id")[: MAX_EVENTS + 1])
            has_more_events = len(newest) > MAX_EVENTS
            events = [
                (event, formatting.label(event.action), details(event))
                for event in newest[:MAX_EVENTS]
            ]
        return TemplateResponse(
            request,
            "admin/uploads/upload/page.html",
            {
                **self.admin_site.each_context(request),
                "title": "Upload",
                "opts": self.opts,
                "upload": upload,
                "facts": facts(upload),
                "status_label": formatting.label(upload.status),
                "events": events,
                "has_more_events": has_more_events,
                "may_verify": may("uploads.verify_upload")
                and upload.status in VERIFIABLE,
                "has_content": upload.status in {Status.STORED, Status.CORRUPTED},
                "has_preview": upload.size <= views.PREVIEW_BYTES,
                "media": self.media,
            },
        )


def details(event: UploadEvent) -> list[tuple[str, str]]:
    """Return names and values of an event's detail; values other than text as JSON."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in event.detail.items()
    ]


def facts(upload: Upload) -> list[tuple[str, Any]]:
    """Return the labels and values of the record's columns."""
    duration = upload.duration
    return [
        ("Id", formatting.copyable(str(upload.pk), name="id")),
        ("Bucket", upload.bucket),
        ("Key", formatting.copyable(upload.key, name="key")),
        ("Size", f"{upload.size:,} bytes"),
        ("SHA-256", formatting.copyable(upload.sha256, name="SHA-256")),
        ("ETag", formatting.copyable(upload.etag, name="ETag")),
        ("Version", upload.version_id or "—"),
        ("Number", "—" if upload.number is None else upload.number),
        ("Requested", formatting.exact_time(upload.created_at)),
        ("Stored", formatting.exact_time(upload.stored_at)),
        (
            "Duration",
            "—" if duration is None else f"{duration.total_seconds() * 1000:,.1f} ms",
        ),
        ("Requester", upload.requester_name),
        ("Client address", upload.client_address or "—"),
        ("User agent", upload.user_agent or "—"),
        ("Request id", formatting.copyable(upload.request_id, name="request id")),
        ("Error", upload.error or "—"),
    ]
