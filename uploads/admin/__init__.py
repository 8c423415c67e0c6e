"""The admin: look, prove, export. Nothing here writes but through the services."""

from __future__ import annotations

from uploads.admin.accounts import StaffGroupAdmin, StaffUserAdmin
from uploads.admin.events import AuditSealAdmin, UploadEventAdmin
from uploads.admin.uploads import UploadAdmin

__all__ = [
    "AuditSealAdmin",
    "StaffGroupAdmin",
    "StaffUserAdmin",
    "UploadAdmin",
    "UploadEventAdmin",
]
