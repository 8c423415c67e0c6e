from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("uploads", "0001_initial"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="auditseal",
            options={"base_manager_name": "objects", "ordering": ("number",)},
        ),
        migrations.AlterModelOptions(
            name="uploadevent",
            options={"base_manager_name": "objects", "ordering": ("id",)},
        ),
        migrations.AddField(
            model_name="auditseal",
            name="next_key",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The public key that takes over, hexadecimal; empty but at a rotation.",
                max_length=64,
            ),
        ),
    ]
