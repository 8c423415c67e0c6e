"""The two groups of staff: auditors look and prove, operators also hand out tokens."""

from django.db import migrations

VIEW = [
    ("uploads", "upload", "view_upload", "Can view upload"),
    ("uploads", "uploadevent", "view_uploadevent", "Can view upload event"),
    ("uploads", "auditseal", "view_auditseal", "Can view audit seal"),
    ("tokens", "token", "view_token", "Can view API token"),
]
ACTS = [
    ("uploads", "upload", "verify_upload", "Can verify uploads"),
    ("uploads", "upload", "export_upload", "Can export uploads and events"),
    ("uploads", "upload", "download_upload", "Can read an upload's content"),
    ("uploads", "upload", "view_proof", "Can see the proof of an upload's events"),
]
TOKENS = [
    ("tokens", "token", "add_token", "Can add API token"),
    ("tokens", "token", "revoke_token", "Can revoke API token"),
    # A token is made for somebody, who has to be found.
    ("auth", "user", "view_user", "Can view user"),
]
GROUPS = {"auditors": VIEW + ACTS, "operators": VIEW + ACTS + TOKENS}


def make_groups(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    ContentType = apps.get_model("contenttypes", "ContentType")
    for name, permissions in GROUPS.items():
        group, _ = Group.objects.get_or_create(name=name)
        for app, model, codename, title in permissions:
            # Django makes permissions after all migrations; these are needed now.
            kind, _ = ContentType.objects.get_or_create(app_label=app, model=model)
            permission, _ = Permission.objects.get_or_create(
                content_type=kind, codename=codename, defaults={"name": title}
            )
            group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("uploads", "0006_staff"),
        ("tokens", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # The groups stay when this is undone: staff may have put people into them.
    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
