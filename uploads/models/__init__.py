"""The record: what was uploaded, and everything that happened to it.

`uploads` holds the current state, `events` the history, `seals` the proof of it;
`lifecycle` defines which action may follow which status; `logins` is for the login
throttle.
"""

from __future__ import annotations

from mirrorsite.append_only import AppendOnlyModel, AppendOnlyQuerySet
from uploads.audit.models import (
    UNCOMMON,
    WITHOUT_UPLOAD,
    Action,
    AuditSeal,
    UploadEvent,
)
from uploads.models.lifecycle import (
    ALLOWED_BEFORE,
    NOT_STORED,
    STATUS_AFTER,
    Status,
)
from uploads.models.logins import LoginAttempts
from uploads.models.paging import pages
from uploads.models.uploads import Upload, UploadQuerySet, new_upload_id

__all__ = [
    "ALLOWED_BEFORE",
    "NOT_STORED",
    "STATUS_AFTER",
    "UNCOMMON",
    "WITHOUT_UPLOAD",
    "Action",
    "AppendOnlyModel",
    "AppendOnlyQuerySet",
    "AuditSeal",
    "LoginAttempts",
    "Status",
    "Upload",
    "UploadEvent",
    "UploadQuerySet",
    "new_upload_id",
    "pages",
]
