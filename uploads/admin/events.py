"""Lists of events and seals, and the page of one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mirrorsite.admin.changelist import BigTableAdmin
from mirrorsite.admin.filters import ChoiceFilter, DateFilter, TimeFilter
from uploads.admin import formatting
from uploads.admin.actions import export_csv, export_jsonl
from uploads.admin.search import search_events, search_seals
from uploads.models import AuditSeal, UploadEvent


@admin.register(UploadEvent)
class UploadEventAdmin(BigTableAdmin[UploadEvent]):
    list_display = (
        "number_label",
        "at_label",
        "action_label",
        "upload_label",
        "actor",
        "seal_label",
    )
    list_filter = (("action", ChoiceFilter), DateFilter, TimeFilter)
    search_fields = ("id", "upload_id")
    search_help_text = "An event's number, or the beginning of an upload's id."
    search = staticmethod(search_events)
    ordering = ("-at", "-id")
    actions = (export_csv, export_jsonl)
    fields = (
        "number_label",
        "at_label",
        "action_label",
        "upload_label",
        "actor",
        "request_id",
        "detail",
        "seal_label",
    )
    readonly_fields = (
        "number_label",
        "at_label",
        "action_label",
        "upload_label",
        "seal_label",
    )

    @admin.display(description="Number")
    def number_label(self, event: UploadEvent) -> int:
        return event.pk

    @admin.display(description="At")
    def at_label(self, event: UploadEvent) -> SafeString | str:
        return formatting.exact_time(event.at)

    @admin.display(description="Action")
    def action_label(self, event: UploadEvent) -> SafeString:
        return formatting.action_label(event.action)

    @admin.display(description="Upload")
    def upload_label(self, event: UploadEvent) -> SafeString | str:
        if event.upload_id is None:
            return "—"
        address = reverse("admin:uploads_upload_change", args=[event.upload_id])
        return format_html('<a href="{}"><code>{}</code></a>', address, event.upload_id)

    @admin.display(description="Seal")
    def seal_label(self, event: UploadEvent) -> SafeString | str:
        return seal_link(event.seal_id)


@admin.register(AuditSeal)
class AuditSealAdmin(BigTableAdmin[AuditSeal]):
    list_display = (
        "number",
        "sealed_label",
        "event_count",
        "range_label",
        "root_label",
        "key_id",
    )
    search_fields = ("number",)
    search_help_text = "A seal's number."
    search = staticmethod(search_seals)
    ordering = ("-number",)
    fields = (
        "number",
        "sealed_label",
        "event_count",
        "range_label",
        "root",
        "previous",
        "signature",
        "key_id",
        "next_key",
        "object_key",
    )
    readonly_fields = ("sealed_label", "range_label")
    actions = ()

    @admin.display(description="Sealed at")
    def sealed_label(self, seal: AuditSeal) -> SafeString | str:
        return formatting.exact_time(seal.sealed_at)

    @admin.display(description="Events")
    def range_label(self, seal: AuditSeal) -> str:
        if seal.first_event is None:
            return "—"
        return f"{seal.first_event} — {seal.last_event}"

    @admin.display(description="Root")
    def root_label(self, seal: AuditSeal) -> SafeString | str:
        return formatting.copyable(seal.root, name="root", shown=seal.root[:16] + "…")


def seal_link(number: Any) -> SafeString | str:
    if number is None:
        return "not yet"
    address = reverse("admin:uploads_auditseal_change", args=[number])
    return format_html('<a href="{}">{}</a>', address, number)
