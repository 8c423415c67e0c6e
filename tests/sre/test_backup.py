"""A backup restored elsewhere holds the same rows."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.utils import DatabaseError

from mirrorsite.actors import Actor
from sre.lib.database_backup import TABLES
from sre.lib.object_store import ObjectStore
from tests.conftest import service_database_url
from tests.uploads.audit.trails import KEY
from uploads import services
from uploads.storage import UploadStorage

ROOT = Path(__file__).resolve().parent.parent.parent
ACTOR = Actor(
    name="anonymous", address="192.0.2.7", user_agent="tests", request_id="request-1"
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


def rows(alias: str = "default") -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the record."""
    found = {}
    with connections[alias].cursor() as cursor:
        for table in (*TABLES, "django_migrations"):
            key = "number" if table == "uploads_auditseal" else "id"
            cursor.execute(f"SELECT * FROM {table} ORDER BY {key}")  # noqa: S608
            found[table] = cursor.fetchall()
    return found


@pytest.fixture
def run(bucket: UploadStorage, object_store: ObjectStore, tmp_path: Path) -> Any:
    """Return a function that runs sre/backup, sre/restore or manage.py on a database."""

    def run(script: str, database: str, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments]
            if script == "manage.py"
            else [str(ROOT / "sre" / script), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "STATIC_ROOT": str(tmp_path / "static"),
                "DATABASE_URL": service_database_url(database),
                "SECRET_KEY": "only-for-tests-" + "0123456789abcdef" * 4,
                "AUDIT_PUBLIC_KEYS": KEY.public_text(),
                **object_store.environment(bucket.bucket_name),
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def empty_database() -> Iterator[str]:
    """Return the name of an empty database."""
    name = f"restored_{secrets.token_hex(4)}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield name
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def record(bucket: UploadStorage, settings: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Make some uploads and two seals over their events; return all rows."""
    settings.AUDIT_SIGNING_KEY = base64.b64decode(KEY.secret_text())
    settings.AUDIT_PUBLIC_KEYS = {}
    for _ in range(2):
        for _ in range(3):
            services.create_upload(actor=ACTOR)
        call_command("seal_audit", verbosity=0)
    return rows()


class TestBackupAndRestore:
    def test_restore__same_rows(
        self,
        run: Any,
        record: dict[str, list[tuple[Any, ...]]],
        empty_database: str,
        bucket: UploadStorage,
    ) -> None:
        here = str(connection.settings_dict["NAME"])
        status, said = run("backup", here)
        assert status == 0, said
        assert "6 uploads, 12 events, 2 seals" in said
        services.create_upload(actor=ACTOR)  # later than the backup

        status, said = run("restore", empty_database)

        assert status == 0, said
        assert "restored 6 uploads, 12 events, 2 seals" in said
        restored = connection.copy("restored")
        restored.settings_dict = {**connection.settings_dict, "NAME": empty_database}
        connections["restored"] = restored
        try:
            assert rows("restored") == record
            # It is append-only there as well: the triggers came with it.
            with (
                pytest.raises(DatabaseError, match="append-only"),
                restored.cursor() as cursor,
            ):
                cursor.execute("UPDATE uploads_uploadevent SET actor = 'somebody'")
        finally:
            restored.close()
            del connections["restored"]
        status, said = run("manage.py", empty_database, "verify_audit")
        assert status == 0, said

    def test_restore__refuses_a_database_in_use(
        self, run: Any, record: dict[str, list[tuple[Any, ...]]]
    ) -> None:
        here = str(connection.settings_dict["NAME"])
        assert run("backup", here)[0] == 0
        status, said = run("restore", here)
        assert status == 1
        assert "already" in said
        assert rows() == record

    def test_restore__damaged_backup(
        self,
        run: Any,
        record: dict[str, list[tuple[Any, ...]]],
        empty_database: str,
        bucket: UploadStorage,
    ) -> None:
        assert run("backup", str(connection.settings_dict["NAME"]))[0] == 0
        (stored,) = bucket.client.list_objects_v2(
            Bucket=bucket.bucket_name, Prefix="backups/"
        )["Contents"]
        whole = bucket.client.get_object(Bucket=bucket.bucket_name, Key=stored["Key"])
        bucket.client.put_object(
            Bucket=bucket.bucket_name,
            Key=stored["Key"],
            Body=whole["Body"].read()[:-1] + b"?",
            Metadata=whole["Metadata"],
        )
        status, said = run("restore", empty_database)
        assert status == 1
        assert "SHA-256" in said

    def test_restore__none_there(self, run: Any, empty_database: str) -> None:
        status, said = run("restore", empty_database)
        assert status == 1
        assert "the bucket holds no backup" in said

    def test_dry_run__nothing_stored(
        self, run: Any, record: dict[str, list[tuple[Any, ...]]], bucket: UploadStorage
    ) -> None:
        status, said = run("backup", str(connection.settings_dict["NAME"]), "--dry-run")
        assert status == 0
        assert "would be stored" in said
        listed = bucket.client.list_objects_v2(
            Bucket=bucket.bucket_name, Prefix="backups/"
        )
        assert listed["KeyCount"] == 0

    def test_restore__no_backup(self, run: Any, empty_database: str) -> None:
        status, said = run("restore", empty_database, "uploads/2026/01/01/other.txt")
        assert status == 1
        assert "is no backup; name a key that ends with .pgdump" in said
