from __future__ import annotations

import logging
from typing import Any

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

logger = logging.getLogger(__name__)


class UploadsConfig(AppConfig):
    name = "uploads"
    verbose_name = "Audit trail"

    def ready(self) -> None:
        from mirrorsite.readiness import readiness
        from uploads import accounts, checks, logins  # noqa: F401 these register
        from uploads.readiness import check_bucket, check_trail

        readiness.add("bucket", check_bucket)
        readiness.add("trail", check_trail)
        pre_migrate.connect(_look_for_triggers, sender=self)
        post_migrate.connect(_reinstall_triggers, sender=self)


class StaffAdminConfig(AdminConfig):
    """Django's admin with our site as its default."""

    default_site = "uploads.staff_site.StaffSite"


#: By database: the triggers that were missing before the migrations ran.
_missing_before: dict[str, list[str]] = {}


def _look_for_triggers(*, using: str, **kwargs: Any) -> None:
    from uploads.audit import triggers

    _missing_before[using] = triggers.missing(connections[using])


def _reinstall_triggers(*, using: str, **kwargs: Any) -> None:
    """Put back the triggers that SQLite dropped with a table it rebuilt, or somebody."""
    from uploads.audit import triggers

    triggers.reinstall(connections[using])
    names = _missing_before.pop(using, [])
    if names:
        logger.warning("triggers were missing, installed again: %s", ", ".join(names))
