"""The list of uploads; the pages of one upload are in `views`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mirrorsite.admin.changelist import BigTableAdmin
from mirrorsite.admin.filters import ChoiceFilter, TimeFilter
from uploads.admin import formatting, views
from uploads.admin.actions import export_csv, export_jsonl, verify_selected
from uploads.admin.formatting import column
from uploads.admin.search import RequesterFilter, search_uploads
from uploads.models import Upload


def _key_link(upload: Upload) -> SafeString:
    # The end of a key, where the keys of one day differ: 17 characters with the ellipsis.
    name = upload.key.rsplit("/", 1)[-1]
    return format_html(
        '<a href="{}" title="{}">{}</a> {}',
        reverse("admin:uploads_upload_change", args=[upload.pk]),
        upload.key,
        f"…{name[-16:]}" if len(name) > 17 else name,
        formatting.copy_button(upload.key, name="key"),
    )


def _size(upload: Upload) -> SafeString:
    words = filesizeformat(upload.size)
    return format_html('<span title="{} bytes">{}</span>', upload.size, words)


@admin.register(Upload)
class UploadAdmin(BigTableAdmin[Upload]):
    list_display = (
        column("Key", _key_link),
        column("Status", lambda upload: formatting.label(upload.status, upload.status)),
        column("Size", _size),
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

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show `views.page` at Django's URL, which accepts an id in any spelling.

        `<uuid:pk>` would accept neither upper case nor an id without hyphens.
        """
        upload = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, upload):
            raise PermissionDenied
        if upload is None:
            raise Http404
        return views.page(request, upload)
