"""Uploads and their events in the admin, to look at and not to touch."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from uploads.models import Upload, UploadEvent


class ReadOnlyMixin:
    """No door that changes the record: no add, no change, no delete."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class UploadEventInline(ReadOnlyMixin, admin.TabularInline[UploadEvent, Upload]):
    model = UploadEvent
    fields = ("at", "action", "actor", "request_id", "detail")
    ordering = ("id",)


@admin.register(Upload)
class UploadAdmin(ReadOnlyMixin, admin.ModelAdmin[Upload]):
    list_display = ("created_at", "status", "key", "size", "requester_name")
    list_filter = ("status",)
    search_fields = ("id__exact", "key__startswith", "request_id__startswith")
    show_full_result_count = False
    inlines = (UploadEventInline,)


@admin.register(UploadEvent)
class UploadEventAdmin(ReadOnlyMixin, admin.ModelAdmin[UploadEvent]):
    list_display = ("at", "action", "upload", "actor", "request_id")
    list_filter = ("action",)
    list_select_related = ("upload",)
    ordering = ("-id",)
    show_full_result_count = False
