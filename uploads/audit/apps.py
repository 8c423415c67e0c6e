from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The audit trail; its models have the app label `uploads`."""

    name = "uploads.audit"
