from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The audit log: recording events, sealing them, verifying them. Its models are in uploads."""

    name = "uploads.audit"
    label = "audit"
    verbose_name = "Audit log"
