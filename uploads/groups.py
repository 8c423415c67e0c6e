"""The groups of staff: auditors read, verify and export; operators also manage tokens."""

from __future__ import annotations

from typing import Any

_VIEW = (
    ("uploads", "upload", "view_upload", "Can view upload"),
    ("uploads", "uploadevent", "view_uploadevent", "Can view upload event"),
    ("uploads", "auditseal", "view_auditseal", "Can view audit seal"),
    ("tokens", "token", "view_token", "Can view API token"),
)
_ACTIONS = (
    ("uploads", "upload", "verify_upload", "Can verify uploads"),
    ("uploads", "upload", "export_upload", "Can export uploads and events"),
    ("uploads", "upload", "download_upload", "Can read an upload's content"),
    ("uploads", "upload", "view_proof", "Can see the proof of an upload's events"),
)
_TOKENS = (
    ("tokens", "token", "add_token", "Can add API token"),
    ("tokens", "token", "revoke_token", "Can revoke API token"),
    # To choose a token's owner.
    ("auth", "user", "view_user", "Can view user"),
)
GROUPS = {
    "auditors": _VIEW + _ACTIONS,
    "operators": _VIEW + _ACTIONS + _TOKENS,
}


def create_groups(apps: Any, schema_editor: Any) -> None:
    """Create the groups with their permissions; an operation of the first migration."""
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    content_type_model = apps.get_model("contenttypes", "ContentType")
    for name, permissions in GROUPS.items():
        group, _ = group_model.objects.get_or_create(name=name)
        for app, model, codename, title in permissions:
            # Django itself creates permissions only after all migrations.
            content_type, _ = content_type_model.objects.get_or_create(
                app_label=app, model=model
            )
            permission, _ = permission_model.objects.get_or_create(
                content_type=content_type, codename=codename, defaults={"name": title}
            )
            group.permissions.add(permission)
