from datetime import timedelta

import django.db.models.deletion
import django.db.models.lookups
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

from mirrorsite.models import readable_times
from uploads import triggers
from uploads.groups import create_groups


def install_triggers(apps, schema_editor):
    triggers.install(schema_editor.connection)


def remove_triggers(apps, schema_editor):
    triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("tokens", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                (
                    "number",
                    models.BigIntegerField(
                        help_text="Counts from 1.", primary_key=True, serialize=False
                    ),
                ),
                ("sealed_at", models.DateTimeField()),
                (
                    "first_event",
                    models.BigIntegerField(help_text="Lowest event id.", null=True),
                ),
                (
                    "last_event",
                    models.BigIntegerField(help_text="Highest event id.", null=True),
                ),
                ("event_count", models.BigIntegerField()),
                (
                    "root",
                    models.CharField(
                        help_text="SHA-256 over the events.", max_length=64
                    ),
                ),
                (
                    "previous",
                    models.CharField(
                        help_text="Hash of the previous seal; zeros in the first.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                (
                    "signature",
                    models.CharField(help_text="Ed25519, hexadecimal.", max_length=128),
                ),
                ("key_id", models.CharField(max_length=64)),
                (
                    "next_key",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The public key that the seal announces, hexadecimal; empty if there is none.",
                        max_length=64,
                    ),
                ),
                (
                    "object_key",
                    models.CharField(
                        help_text="The key of its copy in the bucket.", max_length=1024
                    ),
                ),
            ],
            options={
                "ordering": ("number",),
            },
        ),
        migrations.CreateModel(
            name="Upload",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "bucket",
                    models.CharField(
                        help_text="A name, or the ARN of an access point.",
                        max_length=255,
                    ),
                ),
                ("key", models.CharField(db_collation="C", max_length=1024)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("stored", "Stored"),
                            ("failed", "Failed"),
                            ("missing", "Missing"),
                            ("corrupted", "Corrupted"),
                            ("purged", "Purged"),
                        ],
                        max_length=16,
                    ),
                ),
                ("size", models.BigIntegerField(help_text="Bytes.")),
                ("sha256", models.CharField(max_length=64, verbose_name="SHA-256")),
                (
                    "etag",
                    models.CharField(
                        blank=True, default="", max_length=128, verbose_name="ETag"
                    ),
                ),
                (
                    "version_id",
                    models.CharField(blank=True, default="", max_length=1024),
                ),
                (
                    "number",
                    models.BigIntegerField(
                        help_text="The first random number in the object.", null=True
                    ),
                ),
                ("requester_name", models.CharField(max_length=200)),
                ("client_address", models.GenericIPAddressField(blank=True, null=True)),
                (
                    "user_agent",
                    models.CharField(blank=True, default="", max_length=512),
                ),
                (
                    "request_id",
                    models.CharField(blank=True, default="", max_length=128),
                ),
                (
                    "idempotency_scope",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The actor whose key it is.",
                        max_length=64,
                    ),
                ),
                (
                    "idempotency_key",
                    models.CharField(blank=True, default="", max_length=255),
                ),
                (
                    "idempotency_fingerprint",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="SHA-256 of the request's body.",
                        max_length=64,
                    ),
                ),
                (
                    "attempt_started_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When the last attempt under an idempotency key began; empty without a key, and after an attempt that ended with an unknown outcome.",
                        null=True,
                    ),
                ),
                ("error", models.CharField(blank=True, default="", max_length=1000)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("stored_at", models.DateTimeField(blank=True, null=True)),
                (
                    "duration",
                    models.DurationField(
                        blank=True,
                        help_text="How long the attempt that stored the object took.",
                        null=True,
                    ),
                ),
                (
                    "requester",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at", "-id"),
                "permissions": (
                    ("verify_upload", "Can verify uploads"),
                    ("export_upload", "Can export uploads and events"),
                    ("download_upload", "Can read an upload's content"),
                    ("view_proof", "Can see the proof of an upload's events"),
                ),
            },
        ),
        migrations.CreateModel(
            name="UploadEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("stored", "Stored"),
                            ("failed", "Failed"),
                            ("verified", "Verified"),
                            ("missing", "Missing"),
                            ("corrupted", "Corrupted"),
                            ("adopted", "Adopted"),
                            ("purged", "Purged"),
                            ("retried", "Retried"),
                            ("downloaded", "Downloaded"),
                            ("proof_shown", "Proof shown"),
                            ("exported", "Exported"),
                            ("logged_in", "Logged in"),
                            ("login_failed", "Login failed"),
                            ("logged_out", "Logged out"),
                            ("token_made", "Token created"),
                            ("token_revoked", "Token revoked"),
                            ("user_made", "User created"),
                            ("user_changed", "User changed"),
                            ("group_made", "Group created"),
                            ("group_changed", "Group changed"),
                            ("group_deleted", "Group deleted"),
                            ("audit_checked", "Audit checked"),
                            ("events_restored", "Events restored"),
                        ],
                        max_length=16,
                    ),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=200)),
                (
                    "request_id",
                    models.CharField(blank=True, default="", max_length=128),
                ),
                ("detail", models.JSONField(blank=True, default=dict)),
                (
                    "seal",
                    models.ForeignKey(
                        blank=True,
                        help_text="The seal that covers this event; empty until it is sealed.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="uploads.auditseal",
                    ),
                ),
                (
                    "upload",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="uploads.upload",
                    ),
                ),
            ],
            options={
                "ordering": ("id",),
            },
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(
                fields=["-created_at", "-id"], name="upload_newest_first"
            ),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(
                condition=models.Q(
                    (
                        "status__in",
                        ("pending", "failed", "missing", "corrupted", "purged"),
                    )
                ),
                fields=["status", "-created_at", "-id"],
                name="upload_not_stored",
            ),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(
                fields=["requester_name", "-created_at", "-id"],
                name="upload_by_requester",
            ),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(
                fields=["request_id"],
                name="upload_request_id_prefix",
                opclasses=["varchar_pattern_ops"],
            ),
        ),
        migrations.AddIndex(
            model_name="upload",
            index=models.Index(
                fields=["sha256"],
                name="upload_sha256_prefix",
                opclasses=["varchar_pattern_ops"],
            ),
        ),
        migrations.AddConstraint(
            model_name="upload",
            constraint=models.CheckConstraint(
                condition=models.Q(("size__gte", 0)), name="upload_size_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="upload",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "pending",
                            "stored",
                            "failed",
                            "missing",
                            "corrupted",
                            "purged",
                        ],
                    )
                ),
                name="upload_status_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="upload",
            constraint=readable_times(
                "upload_times_are_readable",
                "attempt_started_at",
                "created_at",
                "stored_at",
            ),
        ),
        migrations.AddConstraint(
            model_name="upload",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    duration__range=(-timedelta(days=10**8), timedelta(days=10**8))
                ),
                name="upload_duration_is_readable",
            ),
        ),
        migrations.AddConstraint(
            model_name="upload",
            constraint=models.UniqueConstraint(
                fields=("key",), name="upload_key_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="upload",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key", ""), _negated=True),
                fields=("idempotency_scope", "idempotency_key"),
                name="upload_once_per_key",
            ),
        ),
        migrations.AddIndex(
            model_name="uploadevent",
            index=models.Index(
                condition=models.Q(("seal", None)),
                fields=["id"],
                name="uploadevent_unsealed",
            ),
        ),
        migrations.AddIndex(
            model_name="uploadevent",
            index=models.Index(fields=["-at", "-id"], name="uploadevent_newest_first"),
        ),
        migrations.AddIndex(
            model_name="uploadevent",
            index=models.Index(
                condition=models.Q(
                    (
                        "action__in",
                        (
                            "failed",
                            "verified",
                            "missing",
                            "corrupted",
                            "adopted",
                            "purged",
                            "retried",
                            "downloaded",
                            "proof_shown",
                            "exported",
                            "logged_in",
                            "login_failed",
                            "logged_out",
                            "token_made",
                            "token_revoked",
                            "user_made",
                            "user_changed",
                            "group_made",
                            "group_changed",
                            "group_deleted",
                            "audit_checked",
                            "events_restored",
                        ),
                    )
                ),
                fields=["action", "-at", "-id"],
                name="uploadevent_uncommon",
            ),
        ),
        migrations.AddConstraint(
            model_name="uploadevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        (
                            "action__in",
                            [
                                "audit_checked",
                                "events_restored",
                                "exported",
                                "group_changed",
                                "group_deleted",
                                "group_made",
                                "logged_in",
                                "logged_out",
                                "login_failed",
                                "token_made",
                                "token_revoked",
                                "user_changed",
                                "user_made",
                            ],
                        ),
                        ("upload", None),
                    ),
                    models.Q(
                        (
                            "action__in",
                            [
                                "adopted",
                                "corrupted",
                                "downloaded",
                                "failed",
                                "missing",
                                "proof_shown",
                                "purged",
                                "requested",
                                "retried",
                                "stored",
                                "verified",
                            ],
                        ),
                        ("upload__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="uploadevent_upload_fits_action",
            ),
        ),
        migrations.AddConstraint(
            model_name="uploadevent",
            constraint=models.CheckConstraint(
                condition=django.db.models.lookups.Exact(
                    models.Func(
                        "detail",
                        function="jsonb_typeof",
                        output_field=models.TextField(),
                    ),
                    "object",
                ),
                name="uploadevent_detail_is_object",
            ),
        ),
        migrations.AddConstraint(
            model_name="uploadevent",
            constraint=models.CheckConstraint(
                condition=models.Func(
                    "detail",
                    output_field=models.BooleanField(),
                    template="""
octet_length(%(expressions)s::text) <= 1048576
AND NOT jsonb_path_exists(%(expressions)s, '$.**{32}')
AND NOT jsonb_path_exists(
    %(expressions)s,
    'strict $.** ? (@ < -9223372036854775808 || @ > 9223372036854775807)'
)
""",
                ),
                name="uploadevent_detail_is_readable",
            ),
        ),
        migrations.AddConstraint(
            model_name="uploadevent",
            constraint=readable_times("uploadevent_time_is_readable", "at"),
        ),
        migrations.AddConstraint(
            model_name="auditseal",
            constraint=readable_times("auditseal_time_is_readable", "sealed_at"),
        ),
        migrations.RunPython(install_triggers, remove_triggers),
        # The groups stay when this is undone: they may have members.
        migrations.RunPython(create_groups, migrations.RunPython.noop),
    ]
