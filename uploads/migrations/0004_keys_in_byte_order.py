"""On PostgreSQL, order keys by their bytes, as S3 lists them and SQLite does anyway.

Under a language's collation the walk of reconcile_uploads would still be right, but
it would ask the store about nearly every key. The unique index serves the order; with
it, Django's second index on the column (for LIKE under other collations) has no use
left and would only make each upload dearer.
"""

from django.db import migrations

FORWARDS = 'ALTER TABLE uploads_upload ALTER COLUMN key TYPE varchar(1024) COLLATE "C"'
BACKWARDS = (
    'ALTER TABLE uploads_upload ALTER COLUMN key TYPE varchar(1024) COLLATE "default"'
)


def _run(statement):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.execute(statement)

    return run


def _drop_like_index(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
            " AND tablename = 'uploads_upload' AND indexdef LIKE '%varchar_pattern_ops%'"
            " AND indexdef LIKE '%(key %'"
        )
        names = [name for (name,) in cursor.fetchall()]
    for name in names:
        schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(name)}")


class Migration(migrations.Migration):
    dependencies = [("uploads", "0003_append_only_triggers")]

    operations = [
        migrations.RunPython(_run(FORWARDS), _run(BACKWARDS)),
        migrations.RunPython(_drop_like_index, migrations.RunPython.noop),
    ]
