"""A backup restored elsewhere holds the same rows."""

from __future__ import annotations

import base64
import io
import json
import os
import secrets
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, connections
from django.db.utils import DatabaseError

from mirrorsite.actors import Actor
from sre.lib.object_store import ObjectStore
from tests.conftest import service_database_url
from tests.outputs import FullOutput
from tests.support import run_program
from tests.uploads.audit.trails import KEY
from uploads import backups, services
from uploads.models import UploadEvent
from uploads.storage import BytesPayload, UploadStorage

TABLES = ("uploads_upload", "uploads_uploadevent", "uploads_auditseal")
ROOT = Path(__file__).resolve().parent.parent.parent
ACTOR = Actor(
    name="anonymous", address="192.0.2.7", user_agent="tests", request_id="request-1"
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


def rows(alias: str = "default") -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the record."""
    found = {}
    with connections[alias].cursor() as cursor:
        for table in TABLES:
            key = "number" if table == "uploads_auditseal" else "id"
            cursor.execute(f"SELECT * FROM {table} ORDER BY {key}")  # noqa: S608
            found[table] = cursor.fetchall()
        cursor.execute("SELECT app, name FROM django_migrations ORDER BY app, name")
        found["django_migrations"] = cursor.fetchall()
    return found


@pytest.fixture
def run(bucket: UploadStorage, object_store: ObjectStore, tmp_path: Path) -> Any:
    """Return a function that runs a command of manage.py on a database."""

    def run(command: str, database: str, *arguments: str) -> tuple[int, str]:
        done = run_program(
            [sys.executable, "manage.py", command, *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "STATIC_ROOT": str(tmp_path / "static"),
                "DATABASE_URL": service_database_url(database),
                "SECRET_KEY": "only-for-tests-" + "0123456789abcdef" * 4,
                "AUDIT_PUBLIC_KEYS": KEY.public_text(),
                **object_store.environment(bucket.bucket_name),
            },
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


def backup_of(table: str, columns: list[str], rows: str = "") -> dict[str, str]:
    """Return the files of a backup that somebody else made."""
    tables = {table: {"columns": columns, "rows": 0}}
    migrations = [["contenttypes", "0001_initial"]]
    manifest = {"migrations": migrations, "tables": tables}
    return {f"{table}.copy": rows, "backup.json": json.dumps(manifest)}


def zipped(name: str, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(name, "{}" * 100)
    return file.getvalue()


DAMAGED_LZMA = zipped("backup.json", zipfile.ZIP_LZMA).replace(b"=\x9f", b"\xff\x9f")
DAMAGED_NAME = zipped("\u00e4").replace("\u00e4".encode(), b"\xff\xff")


class TestBackupAndRestore:
    def test_restore__same_rows(self, run, record, empty_database, bucket):
        here = str(connection.settings_dict["NAME"])
        status, said = run("backup_database", here)
        assert status == 0, said
        assert "backups/" in said
        backed_up = rows()
        copied = UploadEvent.objects.latest("id")
        assert (copied.action, copied.actor) == ("exported", "command:backup_database")
        services.create_upload(actor=ACTOR)  # later than the backup

        status, said = run("restore_database", empty_database)

        assert status == 0, said
        assert "restored backups/" in said
        restored = connection.copy("restored")
        restored.settings_dict = {**connection.settings_dict, "NAME": empty_database}
        connections["restored"] = restored
        try:
            assert rows("restored") == backed_up
            # It is append-only there as well: the triggers came with it.
            with (
                pytest.raises(DatabaseError, match="append-only"),
                restored.cursor() as cursor,
            ):
                cursor.execute("UPDATE uploads_uploadevent SET actor = 'somebody'")
        finally:
            restored.close()
            del connections["restored"]
        status, said = run("verify_audit", empty_database)
        assert status == 0, said

    def test_restore__refuses_a_database_in_use(self, run, record):
        here = str(connection.settings_dict["NAME"])
        assert run("backup_database", here)[0] == 0
        backed_up = rows()
        status, said = run("restore_database", here)
        assert status == 2
        assert "already" in said
        assert rows() == backed_up

    def test_restore__damaged_backup(self, run, record, empty_database, bucket):
        assert run("backup_database", str(connection.settings_dict["NAME"]))[0] == 0
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
        status, said = run("restore_database", empty_database)
        assert status == 2
        assert "SHA-256" in said

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"no zip file", "File is not a zip file"),
            (DAMAGED_LZMA, "Corrupt input data"),
            (DAMAGED_NAME, "codec can't decode"),
            ({"backup.json": "[" * 10**5}, "maximum recursion depth"),
            (
                {
                    "backup.json": '{"tables": {"a": {"columns": [], "rows": 1e999}}}',
                },
                "its backup.json is missing or invalid",
            ),
            ({}, "its backup.json is missing or invalid"),
            ({"backup.json": "{"}, "its backup.json is missing or invalid"),
            ({"backup.json": "[]"}, "its backup.json is missing or invalid"),
            ({"backup.json": '{"tables": 5}'}, "its backup.json is missing or invalid"),
            (
                {"backup.json": '{"tables": {"a": {"columns": [], "rows": 1}}}'},
                "its backup.json is missing or invalid",
            ),
            (
                backup_of('"tokens_token" ("id") FROM PROGRAM \'x\'; --"', ["id"]),
                'table \'"tokens_token"',
            ),
            (
                backup_of("tokens_token", ['"id") FROM PROGRAM \'x\'; --"']),
                "is not in the schema",
            ),
            (
                backup_of("django_content_type", ["id"], "no number\n"),
                "invalid input syntax",
            ),
        ],
    )
    def test_restore__no_backup(self, run, empty_database, bucket, body, reason):
        """Whoever can write into the bucket runs nothing in the database."""
        if isinstance(body, dict):
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w") as archive:
                for name, text in body.items():
                    archive.writestr(name, text)
            body = file.getvalue()
        bucket.put_new("other.zip", BytesPayload(body), {})
        status, said = run("restore_database", empty_database, "other.zip")
        assert (status, said.count("\n")) == (2, 1), said
        assert reason in said
        assert "nothing was loaded" in said

    def test_restore__without_a_recorded_checksum(self, run, empty_database, bucket):
        bucket.client.put_object(Bucket=bucket.bucket_name, Key="x.zip", Body=b"x")
        status, said = run("restore_database", empty_database, "x.zip")
        assert status == 2
        assert "not the recorded None" in said

    def test_restore__none_there(self, run, empty_database):
        status, said = run("restore_database", empty_database)
        assert status == 2
        assert "the bucket holds no backup" in said

    def test_restore__sequences_go_on(self, run, record, empty_database, bucket):
        """New rows take the numbers after the last ones of the backup."""
        assert run("backup_database", str(connection.settings_dict["NAME"]))[0] == 0
        assert run("restore_database", empty_database)[0] == 0
        status, said = run("issue_token", empty_database, "canary")
        assert status == 0, said

    def test_restore__of_a_newer_release(self, run, record, empty_database):
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied)"
                " VALUES ('uploads', '9999_later', now())"
            )
        try:
            here = str(connection.settings_dict["NAME"])
            assert run("backup_database", here)[0] == 0
            status, said = run("restore_database", empty_database)
        finally:
            with connection.cursor() as cursor:
                cursor.execute(
                    "DELETE FROM django_migrations WHERE name = '9999_later'"
                )
        assert status == 2
        assert "does not know the migration uploads.9999_later" in said

    def test_keep__oldest_deleted(self, run, record, empty_database, bucket):
        here = str(connection.settings_dict["NAME"])
        for _ in range(3):
            status, said = run("backup_database", here, "--keep=2")
            assert status == 0, said
        assert len(list(bucket.list_keys("backups/"))) == 2
        status, said = run("restore_database", empty_database, "--dry-run")
        assert (status, max(bucket.list_keys("backups/")) in said) == (0, True)
        status, said = run("restore_database", empty_database, "--dry-run", "--json")
        newest = max(bucket.list_keys("backups/"))
        assert (status, json.loads(said)) == (0, {"dry_run": True, "key": newest})

    @pytest.mark.parametrize("key", ["", "x"])
    def test_dry_run__no_such_key(self, bucket, key):
        with pytest.raises(CommandError) as caught:
            call_command("restore_database", key, "--dry-run")
        assert caught.value.returncode == 2

    def test_keep__another_run_deletes_too(self, bucket, monkeypatch):
        """The copies are gone: that is what was wanted."""
        made = [backups.back_up().key for _ in range(3)]
        head = UploadStorage.head

        def slow(storage: UploadStorage, key: str) -> Any:
            found = head(storage, key)
            if key != made[-1]:
                bucket.delete_unchanged(key, found.etag)
            return found

        monkeypatch.setattr(UploadStorage, "head", slow)
        assert list(backups.delete_old(1)) == []
        assert backups.backup_keys() == made[-1:]

    def test_keep__several_in_one_second(self, bucket: UploadStorage) -> None:
        """The newest is kept, whichever second it is of."""
        made = []
        for _ in range(6):
            made.append(backups.back_up().key)
            assert list(backups.delete_old(1)) == made[:-1][-1:]
        assert backups.backup_keys() == made[-1:]

    def test_keep__other_objects_do_not_count(self, bucket: UploadStorage) -> None:
        made = backups.back_up().key
        for key in ("backups/zzz.zip", "backups/latest.zip", f"{made}.zip"):
            bucket.put_new(key, BytesPayload(b"x"), {})
        assert list(backups.delete_old(1)) == []
        assert backups.backup_keys() == [made]

    def test_stored_and_then_not_printed__says_so(self, bucket, monkeypatch):
        monkeypatch.setattr(sys, "stdout", FullOutput())
        with pytest.raises(
            CommandError, match=r"No space left.*; backups/.* was stored"
        ):
            call_command("backup_database")
        assert len(backups.backup_keys()) == 1

    def test_connection_lost__says_so(self, bucket, monkeypatch):
        end = "COPY (SELECT pg_terminate_backend(pg_backend_pid())) TO STDOUT"
        monkeypatch.setattr(backups, "_copy", lambda *arguments: end)
        with pytest.raises(CommandError, match="the database cannot be used"):
            call_command("backup_database")
        assert backups.backup_keys() == []

    def test_answer_lost__says_that_it_may_be_stored(self, faulty_store):
        faulty_store.plan = lambda method, path: "500" if method != "GET" else "pass"
        with pytest.raises(
            CommandError, match="whether the copy was stored is unknown"
        ):
            call_command("backup_database")
