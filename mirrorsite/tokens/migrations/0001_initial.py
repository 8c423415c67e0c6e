import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from mirrorsite.models import readable_times


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Token",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "digest",
                    models.CharField(editable=False, max_length=128, unique=True),
                ),
                (
                    "token_key",
                    models.CharField(
                        db_index=True,
                        editable=False,
                        max_length=25,
                        verbose_name="starts with",
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="Events name it token:NAME; letters, digits, . _ @ + -",
                        max_length=100,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[A-Za-z0-9._@+-]+\\Z",
                                "A name has 1 to 100 letters, digits and . _ @ + - only.",
                            )
                        ],
                    ),
                ),
                (
                    "can_upload",
                    models.BooleanField(
                        default=False,
                        help_text="POST /api/upload-random",
                        verbose_name="may upload",
                    ),
                ),
                (
                    "can_read",
                    models.BooleanField(
                        default=False,
                        help_text="Everything below /api/uploads, verifying included",
                        verbose_name="may read",
                    ),
                ),
                (
                    "created",
                    models.DateTimeField(
                        default=django.utils.timezone.now,
                        editable=False,
                        verbose_name="created at",
                    ),
                ),
                ("expiry", models.DateTimeField(verbose_name="expires at")),
                (
                    "last_used_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="Written at most once a minute.",
                        null=True,
                    ),
                ),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        help_text="A token is not valid while its owner is not active.",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="auth_token_set",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
            ],
            options={
                "verbose_name": "API token",
                "verbose_name_plural": "API tokens",
                "ordering": ("-created", "-id"),
                "permissions": (("revoke_token", "Can revoke API token"),),
                "default_permissions": ("add", "view"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("can_upload", True), ("can_read", True), _connector="OR"
                        ),
                        name="token_has_a_scope",
                        violation_error_message="A token needs a scope: upload, read or both.",
                    ),
                    readable_times(
                        "token_times_are_readable",
                        "created",
                        "expiry",
                        "last_used_at",
                        "revoked_at",
                    ),
                ],
            },
        ),
    ]
