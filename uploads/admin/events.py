"""The lists of events and of seals, and the page of one event or seal."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mirrorsite.admin.changelist import BigTableAdmin
from mirrorsite.admin.filters import ChoiceFilter, TimeFilter
from uploads.admin import formatting
from uploads.admin.actions import export_csv, export_jsonl
from uploads.admin.formatting import column
from uploads.admin.search import search_events, search_seals
from uploads.models import AuditSeal, UploadEvent


def _upload_link(event: UploadEvent) -> SafeString | str:
    if event.upload_id is None:
        return "—"
    url = reverse("admin:uploads_upload_change", args=[event.upload_id])
    return format_html('<a href="{}"><code>{}</code></a>', url, event.upload_id)


def _seal_link(event: UploadEvent) -> SafeString | str:
    if event.seal_id is None:
        return "not yet"
    url = reverse("admin:uploads_auditseal_change", args=[event.seal_id])
    return format_html('<a href="{}">{}</a>', url, event.seal_id)


_AT = column("At", lambda event: formatting.exact_time(event.at))
_ACTION = column(
    "Action",
    lambda event: formatting.label(event.action, event.get_action_display()),
)
_UPLOAD = column("Upload", _upload_link)
_SEAL = column("Seal", _seal_link)


@admin.register(UploadEvent)
class UploadEventAdmin(BigTableAdmin[UploadEvent]):
    list_display = ("id", _AT, _ACTION, _UPLOAD, "actor", _SEAL)
    list_filter = (("action", ChoiceFilter), TimeFilter)
    search_fields = ("id", "upload_id")
    search_help_text = "An event's id, or the beginning of an upload's id."
    search = staticmethod(search_events)
    ordering = ("-at", "-id")
    actions = (export_csv, export_jsonl)
    fields = ("id", _AT, _ACTION, _UPLOAD, "actor", "request_id", "detail", _SEAL)


_SEALED = column("Sealed at", lambda seal: formatting.exact_time(seal.sealed_at))
_EVENTS = column(
    "Events",
    lambda seal: (
        "—" if seal.first_event is None else f"{seal.first_event} — {seal.last_event}"
    ),
)
_ROOT = column(
    "Root",
    lambda seal: format_html(
        '<code title="{}">{}…</code>{}',
        seal.root,
        seal.root[:16],
        formatting.copy_button(seal.root, name="root"),
    ),
)


@admin.register(AuditSeal)
class AuditSealAdmin(BigTableAdmin[AuditSeal]):
    list_display = ("number", _SEALED, "event_count", _EVENTS, _ROOT, "key_id")
    search_fields = ("number",)
    search_help_text = "A seal's number."
    search = staticmethod(search_seals)
    ordering = ("-number",)
    fields = (
        "number",
        _SEALED,
        "event_count",
        _EVENTS,
        "root",
        "previous",
        "signature",
        "key_id",
        "next_key",
        "object_key",
    )
    actions = ()
