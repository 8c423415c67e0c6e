"""Database backups in the bucket, and restoring one.

A backup is a zip file under `backups/`: each table in the format of PostgreSQL's COPY,
all from one snapshot, and a `backup.json` with columns, row counts and the applied
migrations. pg_dump, which must be as new as the server, is not needed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from uploads.storage import upload_storage

PREFIX = "backups/"
SUFFIX = ".zip"
MANIFEST = "backup.json"
_CHUNK_BYTES = 1024 * 1024


class BackupError(Exception):
    """A backup or restore is impossible; the message has the reason and a remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup in the bucket, and the number of rows of each table."""

    key: str
    rows: dict[str, int]


class FilePayload:
    """A file as the body of an upload, read in parts."""

    content_type = "application/zip"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size
        with path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def parts(self, part_bytes: int) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while part := file.read(part_bytes):
                yield part


def backup_keys() -> list[str]:
    """Return the keys of all backups, the oldest first."""
    return sorted(
        key for key in upload_storage().list_keys(PREFIX) if key.endswith(SUFFIX)
    )


def back_up() -> Backup:
    """Store a copy of the database; raises `StoreError` and Django's database errors."""
    now = datetime.now(UTC)
    # Names sort by time, and two of one second still differ.
    key = f"{PREFIX}{now:%Y/%m/%d/%H%M%S}-{secrets.token_hex(4)}{SUFFIX}"
    with tempfile.TemporaryDirectory(prefix="mirrorsite-backup-") as directory:
        path = Path(directory) / "backup.zip"
        rows = _dump(path, now)
        upload_storage().put_new(key, FilePayload(path), {"upload-id": key})
    return Backup(key=key, rows=rows)


def delete_old(keep: int) -> list[str]:
    """Delete all backups except the newest `keep`; return the deleted keys."""
    storage = upload_storage()
    old = backup_keys()[:-keep]
    for key in old:
        storage.delete_unchanged(key, storage.head(key).etag)
    return old


def restore(key: str) -> Backup:
    """Load a backup into an empty database, with the tables of its migrations.

    Raises `BackupError` when the database has tables, the backup is damaged, or this
    release does not know its migrations.
    """
    if tables := connection.introspection.table_names():
        raise BackupError(
            f"the database {connection.settings_dict['NAME']} has tables already"
            f" ({tables[0]}, …); create an empty one and set DATABASE_URL to it."
        )
    with _downloaded(key) as archive:
        manifest = json.loads(archive.read(MANIFEST))
        _migrate([(app, name) for app, name in manifest["migrations"]])
        rows = _load(archive, manifest["tables"])
    return Backup(key=key, rows=rows)


# --- Out -----------------------------------------------------------------------------


def _dump(path: Path, now: datetime) -> dict[str, int]:
    described: dict[str, dict[str, Any]] = {}
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        # One snapshot for all tables.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        recorder = MigrationRecorder(connection)
        migrations = list(recorder.applied_migrations())
        for table in _tables():
            columns = _columns(cursor, table)
            with (
                archive.open(f"{table}.copy", "w", force_zip64=True) as file,
                cursor.copy(_copy(table, columns, "TO STDOUT")) as copy,
            ):
                for block in copy:
                    file.write(block)
            described[table] = {"columns": columns, "rows": cursor.rowcount}
        manifest = {
            "created_at": now.isoformat(),
            "migrations": migrations,
            "tables": described,
        }
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
    return {table: entry["rows"] for table, entry in described.items()}


def _tables() -> list[str]:
    """Return the tables of all models; migrate itself fills django_migrations."""
    return sorted(connection.introspection.django_table_names(only_existing=True))


def _columns(cursor: Any, table: str) -> list[str]:
    description = connection.introspection.get_table_description(cursor, table)
    return [column.name for column in description]


def _copy(table: str, columns: list[str], direction: str) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(quote(column) for column in columns)
    return f"COPY {quote(table)} ({names}) {direction}"


# --- Back ----------------------------------------------------------------------------


@contextmanager
def _downloaded(key: str) -> Iterator[zipfile.ZipFile]:
    """Yield the backup, whose bytes are those that were stored."""
    storage = upload_storage()
    recorded = storage.head(key).metadata["sha256"]
    with tempfile.TemporaryFile(prefix="mirrorsite-restore-") as file:
        digest = hashlib.sha256()
        for chunk in storage.read(key, _CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != recorded:
            raise BackupError(
                f"{key} has SHA-256 {digest.hexdigest()}, not the recorded {recorded};"
                " choose another backup."
            )
        with zipfile.ZipFile(file) as archive:
            yield archive


def _migrate(applied: list[tuple[str, str]]) -> None:
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    unknown = [node for node in applied if node not in graph.nodes]
    if unknown:
        raise BackupError(
            f"this release does not know the migration {'.'.join(unknown[0])} of the"
            " backup; restore with the release that made it."
        )
    last = [
        node
        for node in applied
        if not any(child.key in applied for child in graph.node_map[node].children)
    ]
    executor.migrate(last)


def _load(archive: zipfile.ZipFile, tables: dict[str, Any]) -> dict[str, int]:
    rows = {}
    with transaction.atomic(), connection.cursor() as cursor:
        # What migrations put in is in the backup too. Foreign keys are checked at the
        # end of the transaction, so the order of the tables does not matter.
        for table in tables:
            cursor.execute(
                f"SELECT EXISTS (SELECT FROM {connection.ops.quote_name(table)})"  # noqa: S608
            )
            if cursor.fetchone()[0]:
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")  # noqa: S608
        for table, entry in tables.items():
            with (
                archive.open(f"{table}.copy") as file,
                cursor.copy(_copy(table, entry["columns"], "FROM STDIN")) as copy,
            ):
                while block := file.read(_CHUNK_BYTES):
                    copy.write(block)
            rows[table] = cursor.rowcount
            if rows[table] != entry["rows"]:
                raise BackupError(
                    f"{table} has {rows[table]} rows, not the {entry['rows']} of the"
                    " backup."
                )
        models = apps.get_models(include_auto_created=True)
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
    return rows
