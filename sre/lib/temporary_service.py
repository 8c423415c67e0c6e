"""A whole service for one script: S3 server, database, gunicorn, a token; all temporary."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import temporary_postgres
from sre.lib.service import ROOT, Service

BUCKET = "mirrorsite-uploads"


@dataclass(frozen=True)
class Running:
    """Where it is, and how to get in; `token` is None when it knows none."""

    url: str
    token: str | None


@contextmanager
def temporary_service(**environment: str) -> Iterator[Running]:
    """Start it on free loopback ports; remove everything afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="mirrorsite-") as name,
        temporary_postgres(fsync=False) as database_url,
    ):
        directory = Path(name)
        store = ObjectStore(
            directory / "store", free_port(), "local-key", secrets.token_urlsafe(20)
        )
        store.start()
        values = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DATABASE_URL": database_url,
            "STATIC_ROOT": str(directory / "static"),
            "LOG_FORMAT": "text",
            "HTTPS_ONLY": "false",
            **store.environment(BUCKET),
            **environment,
        }
        service = Service(values, directory / "service.log")
        try:
            _manage(values, "-m", "sre.lib.prepare")
            token = _token(values)
            service.start()
            yield Running(service.url, token)
        except BaseException:
            if service.log.exists():
                sys.stderr.write(service.log.read_text()[-4000:])
            raise
        finally:
            service.stop()
            store.kill()


def _token(values: dict[str, str]) -> str | None:
    """Return a token for uploading and reading, when the service has tokens."""
    command = "create_token"
    if command not in _manage(values, "manage.py", "help", "--commands").split():
        return None
    printed = _manage(
        values, "manage.py", command, "fuzz", "--owner", "admin",
        "--scope", "upload", "--scope", "read",
    )  # fmt: skip
    return printed.strip().splitlines()[-1].split()[-1]


def _manage(values: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **values},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
