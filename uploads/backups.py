"""Database backups in the bucket, and restoring one.

A backup is a zip file under `backups/`: each table in the format of PostgreSQL's COPY,
all from one snapshot, and a `backup.json` with columns, row counts and the applied
migrations. It does not need pg_dump, which would have to be as new as the server.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import mmap
import re
import secrets
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import DataError, IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from mirrorsite.database import reason
from uploads.exceptions import ObjectChangedError, ObjectMissingError, UploadsError
from uploads.storage import BytesPayload, upload_storage

PREFIX = "backups/"
MANIFEST = "backup.json"
#: Keys sort by time, to the microsecond; their random end makes them unique.
_KEY = re.compile(PREFIX + r"\d{4}/\d\d/\d\d/\d{12}-[0-9a-f]{8}\.zip", re.ASCII)
_CHUNK_BYTES = 1024 * 1024
#: Raised when a file is not a zip file or is damaged, or holds rows that its tables cannot
#: store.
_UNREADABLE = (
    DataError,
    IntegrityError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,  # from bz2
    EOFError,
    RuntimeError,  # encrypted, another compression, or a manifest nested too deeply
    ValueError,  # a name that is not UTF-8
)


class BackupError(UploadsError):
    """A backup cannot be restored; the message has the reason and a remedy."""


def backup_keys() -> list[str]:
    """Return the keys of all backups, the oldest first."""
    return sorted(
        key for key in upload_storage().list_keys(PREFIX) if _KEY.fullmatch(key)
    )


def back_up() -> tuple[str, dict[str, int]]:
    """Store a copy of the database; return its key, and the number of rows of each table.

    Raises `StoreError` and Django's database errors.
    """
    now = datetime.now(UTC)
    key = f"{PREFIX}{now:%Y/%m/%d/%H%M%S%f}-{secrets.token_hex(4)}.zip"
    # An unnamed file: a killed process leaves no copy of the database on disk.
    with tempfile.TemporaryFile() as file:
        rows = _dump(file, now)
        file.flush()
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        payload = BytesPayload(content, "application/zip")
        # If an answer is lost, `put_new` recognises its own object by this metadata.
        upload_storage().put_new(key, payload, {"upload-id": key})
    return key, rows


def delete_old(keep: int) -> Iterator[str]:
    """Delete all backups except the newest `keep`; yield each deleted key."""
    storage = upload_storage()
    for key in backup_keys()[:-keep]:
        try:
            storage.delete_unchanged(key, storage.head(key).etag)
        except (ObjectChangedError, ObjectMissingError):
            continue  # another run deleted it
        yield key


def require_empty_database() -> None:
    """Raise `BackupError` if the database has tables."""
    if names := connection.introspection.table_names():
        raise BackupError(
            f"the database {connection.settings_dict['NAME']} has tables already"
            f" ({names[0]}, …); create an empty one and set DATABASE_URL to it."
        )


def restore(key: str) -> dict[str, int]:
    """Apply the backup's migrations to an empty database, and load the backup's rows.

    Return the number of rows of each table.

    Raises `BackupError` if the backup is damaged, or this release lacks one of the
    backup's migrations.
    """
    with _downloaded_file(key) as file:
        with _backup_errors(key):
            archive = zipfile.ZipFile(file)
            migrations, tables = _manifest(archive)
        _migrate(migrations)
        with _backup_errors(key):
            return _load(archive, tables)


# --- Back up -------------------------------------------------------------------------


def _dump(target: IO[bytes], now: datetime) -> dict[str, int]:
    described: dict[str, dict[str, Any]] = {}
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive,
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        # One snapshot for all tables.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        migrations = list(MigrationRecorder(connection).applied_migrations())
        for table, columns in _tables(cursor).items():
            with (
                connection.wrap_database_errors,
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


def _tables(cursor: Any) -> dict[str, list[str]]:
    """Return the columns of all models' tables.

    django_migrations is not among them: migrating fills it.
    """
    introspection = connection.introspection
    return {
        table: [
            column.name for column in introspection.get_table_description(cursor, table)
        ]
        for table in sorted(introspection.django_table_names(only_existing=True))
    }


def _copy(table: str, columns: list[str], direction: str) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(quote(column) for column in columns)
    return f"COPY {quote(table)} ({names}) {direction}"


# --- Restore ------------------------------------------------------------------------


@contextmanager
def _backup_errors(key: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise BackupError(
            f"{key} cannot be read as a backup ({reason(error)}); choose another one."
        ) from error


def _manifest(
    archive: zipfile.ZipFile,
) -> tuple[list[tuple[str, str]], dict[str, tuple[list[str], int]]]:
    """Return the migrations, and the columns and number of rows of each table."""
    try:
        values = json.loads(archive.read(MANIFEST))
        tables = {
            table: ([str(column) for column in entry["columns"]], int(entry["rows"]))
            for table, entry in values["tables"].items()
        }
        for table in tables:
            archive.getinfo(f"{table}.copy")
        migrations = [(str(app), str(name)) for app, name in values["migrations"]]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise zipfile.BadZipFile(f"its {MANIFEST} is missing or invalid") from error
    return migrations, tables


@contextmanager
def _downloaded_file(key: str) -> Iterator[IO[bytes]]:
    """Download a backup, check its SHA-256 against the recorded one, yield the file."""
    storage = upload_storage()
    recorded = storage.head(key).metadata.get("sha256")
    with tempfile.TemporaryFile() as file:
        digest = hashlib.sha256()
        for chunk in storage.read(key, _CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != recorded:
            raise BackupError(
                f"{key} has SHA-256 {digest.hexdigest()}, not the recorded {recorded};"
                " choose another backup."
            )
        yield file


def _migrate(applied: list[tuple[str, str]]) -> None:
    """Apply exactly these migrations; raises `BackupError` for an unknown one."""
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    unknown = [node for node in applied if node not in graph.nodes]
    if unknown:
        raise BackupError(
            f"this release does not know the migration {'.'.join(unknown[0])} of the"
            " backup; restore with the release that made it."
        )
    # Those on which no other one depends: the executor applies their ancestors too.
    targets = [
        node
        for node in applied
        if not any(child.key in applied for child in graph.node_map[node].children)
    ]
    executor.migrate(targets)


def _load(
    archive: zipfile.ZipFile, tables: dict[str, tuple[list[str], int]]
) -> dict[str, int]:
    rows = {}
    with transaction.atomic(), connection.cursor() as cursor:
        schema = _tables(cursor)
        for table, (columns, _) in tables.items():
            # Table and column names go into SQL: only those of the schema are allowed.
            if table not in schema or not set(columns) <= set(schema[table]):
                raise BackupError(
                    f"the backup's migrations do not create the table {table!r} or one"
                    " of the columns that the backup has for it; choose another backup."
                )
        # Migrations inserted rows that the backup has too. Foreign keys are checked at
        # the end of the transaction, so the order of the tables does not matter.
        for table in tables:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")  # noqa: S608
        for table, (columns, count) in tables.items():
            with (
                connection.wrap_database_errors,
                archive.open(f"{table}.copy") as file,
                cursor.copy(_copy(table, columns, "FROM STDIN")) as copy,
            ):
                while block := file.read(_CHUNK_BYTES):
                    copy.write(block)
            rows[table] = cursor.rowcount
            if rows[table] != count:
                raise BackupError(
                    f"the backup has {rows[table]} rows of {table}, but its {MANIFEST}"
                    f" records {count}; choose another backup."
                )
        models = apps.get_models(include_auto_created=True)
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
    return rows
