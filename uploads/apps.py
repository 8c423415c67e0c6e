from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate


class UploadsConfig(AppConfig):
    name = "uploads"
    verbose_name = "Audit trail"

    def ready(self) -> None:
        from mirrorsite.readiness import readiness

        # Not all of these are used here: importing them registers checks, receivers of
        # signals and problem types.
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
        post_migrate.connect(triggers.reinstall, sender=self)


class StaffAdminConfig(AdminConfig):
    """Django's admin with our site as its default."""

    default_site = "uploads.staff_site.StaffSite"
