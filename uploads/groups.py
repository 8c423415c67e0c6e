"""The groups of staff: auditors read, verify and export; operators also manage tokens."""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions

_VIEW = ("view_upload", "view_uploadevent", "view_auditseal", "view_token")
_ACTIONS = ("verify_upload", "export_upload", "download_upload", "view_proof")
# `view_user`: to choose a token's owner.
_TOKENS = ("add_token", "revoke_token", "view_user")
GROUPS = {
    "auditors": _VIEW + _ACTIONS,
    "operators": _VIEW + _ACTIONS + _TOKENS,
}


def create_groups(apps: Any, schema_editor: Any) -> None:
    """Create the groups with their permissions; an operation of the first migration."""
    for label in ("auth", "tokens", "uploads"):
        # Django itself creates permissions only after all migrations.
        app = installed_apps.get_app_config(label)
        create_permissions(app, verbosity=0, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects
    for name, codenames in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.add(*permissions.filter(codename__in=codenames))
