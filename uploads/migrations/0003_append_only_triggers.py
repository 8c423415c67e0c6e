from django.db import migrations

from uploads.audit import triggers


def install(apps, schema_editor):
    triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    """Make events and seals append-only, and keep uploads from being deleted.

    The statements are not frozen here: on SQLite they name every column, so they are
    made from the tables as they are, and made again after each `migrate`
    (uploads.audit.triggers.reinstall), since SQLite drops the triggers of a table
    that a later migration rebuilds.
    """

    dependencies = [
        ("uploads", "0002_auditseal_next_key"),
        ("tokens", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [migrations.RunPython(install, remove)]
