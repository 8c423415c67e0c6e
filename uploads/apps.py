from __future__ import annotations

import logging
from typing import Any

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db import connections
from django.db.models.signals import post_migrate

logger = logging.getLogger(__name__)


class UploadsConfig(AppConfig):
    name = "uploads"
    verbose_name = "Audit trail"

    def ready(self) -> None:
        from mirrorsite.readiness import readiness

        # Those not used here register checks, receivers of signals and problem types
        # when imported.
        from uploads import (  # noqa: F401
            accounts,
            checks,
            logins,
            problem_types,
            projection,
            triggers,
        )
        from uploads.audit.report import projections
        from uploads.storage import upload_storage

        projections.append(projection)
        readiness.add("bucket", lambda: upload_storage().availability())
        readiness.add("trail", triggers.check, needs_database=True)
        post_migrate.connect(_reinstall_triggers, sender=self)


class StaffAdminConfig(AdminConfig):
    """Django's admin with our site as its default."""

    default_site = "uploads.staff_site.StaffSite"


def _reinstall_triggers(*, using: str, **kwargs: Any) -> None:
    """Reinstall the append-only triggers after `migrate` if any is missing."""
    from uploads import triggers

    if names := triggers.reinstall(connections[using]):
        logger.warning(
            "triggers were missing and have been reinstalled: %s", ", ".join(names)
        )
