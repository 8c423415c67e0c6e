"""A backup restored elsewhere holds the same rows."""

from __future__ import annotations

import io
import json
import os
import zipfile
from typing import Any

import pytest
from django.db import connection
from django.db.utils import DatabaseError

from mirrorsite.tokens.models import Token
from tests.conftest import service_database_url
from tests.support import manage
from tests.tokens import new_token
from tests.uploads import making
from tests.uploads.audit.tampering import execute
from tests.uploads.audit.trails import KEY, Trail, connected_to
from tests.uploads.making import run_with_errors as run
from uploads import backups
from uploads.audit.seal_store import PREFIX
from uploads.models import UploadEvent
from uploads.storage import BytesPayload, UploadStorage

TABLES = (
    "uploads_upload",
    "uploads_uploadevent",
    "uploads_auditseal",
    "tokens_token",
    "django_migrations",
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]


def rows() -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the record."""
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            columns = "app, name" if table == "django_migrations" else "*"
            cursor.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2")  # noqa: S608
            found[table] = cursor.fetchall()
    return found


@pytest.fixture
def record(bucket: UploadStorage, settings: Any) -> None:
    """Make some uploads, two seals over their events, and a token."""
    settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
    trail = Trail(bucket, prefix=PREFIX)
    for _ in range(2):
        making.stored()
        trail.seal()
    new_token()


def archive(files: dict[str, str], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as made:
        for name, text in files.items():
            made.writestr(name, text)
    return content.getvalue()


def damaged(compression: int) -> bytes:
    """Return a zip file with a wrong byte in the content of its only file."""
    made = bytearray(archive({"backup.json": "[1]" * 1000}, compression))
    made[made.index(b"backup.json") + 20] ^= 0xFF
    return bytes(made)


def backup_of(
    table: str,
    columns: list[str],
    rows: str = "",
    *,
    migration: str = "0001_initial",
    count: int = 0,
) -> bytes:
    """Return a backup that this service did not make."""
    tables = {table: {"columns": columns, "rows": count}}
    manifest = {"migrations": [["contenttypes", migration]], "tables": tables}
    return archive({f"{table}.copy": rows, "backup.json": json.dumps(manifest)})


class TestRestore:
    def test_same_rows__in_a_database_that_works(
        self, record, empty_database, service_environment
    ):
        """The only run as processes: restoring starts with no tables at all."""
        assert run("backup_database")[0] == 0
        backed_up = rows()
        copied = UploadEvent.objects.latest("id")
        assert (copied.action, copied.actor) == ("exported", "command:backup_database")
        making.stored()  # later than the backup

        environment = {
            **os.environ,
            **service_environment,
            "DATABASE_URL": service_database_url(empty_database),
        }
        done = manage("restore_database", environment=environment)

        assert done.returncode == 0, done.stderr
        assert "restored backups/" in done.stdout
        with connected_to(empty_database):
            assert rows() == backed_up
            # It is append-only there as well: the triggers came with it.
            with pytest.raises(DatabaseError, match="append-only"):
                execute("UPDATE uploads_uploadevent SET actor = 'somebody'")
            # Sequences go on after the backup's last rows.
            new_token(name="another")
            assert Token.objects.count() == 2
            assert run("verify_audit")[0] == 0
            status, text = run("restore_database")
            assert status == 2
            assert text.endswith("and set DATABASE_URL to it; nothing was changed.")

    def test_damaged_backup(self, bucket, empty_database):
        key = backups.back_up()[0]
        whole = bucket.client.get_object(Bucket=bucket.bucket_name, Key=key)
        damaged = whole["Body"].read()[:-1] + b"?"
        making.put_raw(bucket, key, damaged, **whole["Metadata"])
        with connected_to(empty_database):
            status, text = run("restore_database")
        assert (status, "SHA-256" in text) == (2, True)

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"no zip file", "File is not a zip file"),
            *(
                (archive({"backup.json": manifest}), "its backup.json is missing or")
                for manifest in (
                    "{",
                    "[]",
                    '{"tables": {"a": {"columns": [], "rows": 1e999}}}',
                    '{"tables": {"a": {"columns": [], "rows": 1}}}',
                )
            ),
            (damaged(zipfile.ZIP_DEFLATED), "cannot be read as a backup"),
            (damaged(zipfile.ZIP_BZIP2), "cannot be read as a backup"),
            (damaged(zipfile.ZIP_LZMA), "cannot be read as a backup"),
            (archive({"backup.json": "[" * 10**5}), "maximum recursion depth"),
            (archive({}), "its backup.json is missing or invalid"),
            (
                backup_of('"tokens_token" ("id") FROM PROGRAM \'x\'; --"', ["id"]),
                'table \'"tokens_token"',
            ),
            (
                backup_of("tokens_token", ['"id") FROM PROGRAM \'x\'; --"']),
                "or one of the columns",
            ),
            (
                backup_of("django_content_type", ["id"], count=3),
                "0 rows of django_content_type, but its backup.json records 3",
            ),
            (
                backup_of("django_content_type", ["id"], "no number\n"),
                "invalid input syntax",
            ),
            (
                backup_of("django_content_type", ["id"], "1\n", count=1),
                "violates not-null constraint",
            ),
            (
                backup_of("django_content_type", [], migration="9999_later"),
                "does not know the migration contenttypes.9999_later",
            ),
        ],
    )
    def test_made_by_somebody_else(self, bucket, empty_database, body, reason):
        """Whoever can write into the bucket runs nothing in the database."""
        bucket.put_new("other.zip", BytesPayload(body), {})
        with connected_to(empty_database):
            status, text = run("restore_database", "other.zip")
        assert (status, text.count("\n")) == (2, 0), text
        assert reason in text
        assert "; choose another" in text or "; restore with the release" in text
        assert "no rows were restored" in text

    def test_no_recorded_checksum__none_there(self, bucket, empty_database):
        making.put_raw(bucket, "x.zip", b"x")
        with connected_to(empty_database):
            status, text = run("restore_database", "x.zip")
            assert (status, "not the recorded None" in text) == (2, True)
            status, text = run("restore_database")
            assert (status, "the bucket holds no backup" in text) == (2, True)


class TestDryRun:
    def test_newest(self, bucket):
        newest = [backups.back_up()[0] for _ in range(2)][-1]
        assert run("restore_database", "--dry-run") == (0, f"would restore {newest}\n")
        status, text = run("restore_database", "--dry-run", "--json")
        assert (status, json.loads(text)) == (0, {"dry_run": True, "key": newest})

    @pytest.mark.parametrize("key", ["", "x"])
    def test_no_such_key(self, bucket, key):
        assert run("restore_database", key, "--dry-run")[0] == 2


class TestKeep:
    def test_oldest_deleted(self, bucket):
        """Other objects do not count; the newest are kept, whichever second they are of."""
        for key in ("backups/zzz.zip", "backups/latest.zip"):
            bucket.put_new(key, BytesPayload(b"x"), {})
        made = [backups.back_up()[0] for _ in range(3)]
        status, text = run("backup_database", "--keep=2", "--json")
        result = json.loads(text)
        assert (status, result["deleted"]) == (0, made[:2])
        assert backups.backup_keys() == [made[2], result["key"]]
        assert len(list(bucket.list_keys("backups/"))) == 4

    def test_another_run_deletes_too(self, bucket, monkeypatch):
        """The copies are gone: that is what was wanted."""
        made = [backups.back_up()[0] for _ in range(3)]
        head = UploadStorage.head

        def slow(storage: UploadStorage, key: str) -> Any:
            found = head(storage, key)
            bucket.delete_unchanged(key, found.etag)
            return found

        monkeypatch.setattr(UploadStorage, "head", slow)
        assert list(backups.delete_old(1)) == []
        assert backups.backup_keys() == made[-1:]


class TestFailed:
    def test_connection_lost(self, bucket, monkeypatch):
        end = "COPY (SELECT pg_terminate_backend(pg_backend_pid())) TO STDOUT"
        monkeypatch.setattr(backups, "_copy", lambda *arguments: end)
        status, text = run("backup_database")
        assert (status, "the database cannot be used" in text) == (2, True)
        # Not "nothing was changed": the attempt is an event.
        assert text.endswith("no backup was stored.")
        assert backups.backup_keys() == []

    def test_answer_lost__it_may_be_stored(self, faulty_store):
        faulty_store.plan = lambda method, path: "500" if method != "GET" else "pass"
        _, text = run("backup_database")
        assert "whether the backup was stored is unknown" in text
