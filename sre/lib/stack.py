"""A PostgreSQL and an S3 server in a temporary directory, and services on them."""

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
from urllib.parse import quote, urlsplit

import psycopg
from psycopg.sql import SQL, Identifier

from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import Postgres, temporary_server
from sre.lib.service import ROOT, Service, python_of

BUCKET = "mirrorsite-uploads"


@dataclass(frozen=True)
class Stack:
    """What services and commands need; all of it is removed afterwards."""

    directory: Path
    store: ObjectStore
    postgres: Postgres

    def new_database(self, name: str) -> str:
        """Create an empty database; return its URL."""
        url = self.postgres.url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return urlsplit(url)._replace(path=f"/{quote(name, safe='')}").geturl()

    def environment(
        self, *, database_url: str = "", bucket: str = BUCKET, **more: str
    ) -> dict[str, str]:
        """Return the environment of a service or command, with production's settings."""
        static = self.directory / "static"
        static.mkdir(exist_ok=True)
        return {
            **os.environ,
            **self.store.environment(bucket),
            "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
            "DATABASE_URL": database_url or self.postgres.url,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "STATIC_ROOT": str(static),
            "HTTPS_ONLY": "false",
            **more,
        }

    @contextmanager
    def service(
        self, environment: dict[str, str], *, root: Path = ROOT
    ) -> Iterator[Service]:
        """Prepare database and bucket, and run the web server of a checkout."""
        run(environment, "-m", "sre.lib.prepare", root=root)
        log = self.directory / f"service-{secrets.token_hex(4)}.log"
        service = Service(environment, log, root=root)
        try:
            service.start()
            yield service
        except BaseException:
            if log.exists():
                sys.stderr.write(log.read_text(errors="replace")[-4000:])
            raise
        finally:
            service.stop()


@contextmanager
def temporary_stack(*, fsync: bool = True) -> Iterator[Stack]:
    """Start both servers on free ports of loopback; remove everything afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="mirrorsite-") as name,
        temporary_server(fsync=fsync) as postgres,
    ):
        store = ObjectStore(
            Path(name) / "store", free_port(), "stack-key", secrets.token_urlsafe(20)
        )
        store.start()
        try:
            yield Stack(Path(name), store, postgres)
        finally:
            store.kill()


@contextmanager
def temporary_service() -> Iterator[tuple[str, str]]:
    """Run a whole service; yield its address and a token to upload and read with."""
    with temporary_stack(fsync=False) as stack:
        environment = stack.environment(LOG_FORMAT="text")
        with stack.service(environment) as service:
            printed = run(
                environment, "manage.py", "create_token", "script", "--owner=admin",
                "--scope=upload", "--scope=read",
            )  # fmt: skip
            yield service.url, printed.split()[-1]


def run(environment: dict[str, str], *arguments: str, root: Path = ROOT) -> str:
    """Run Python on a program; return what it prints, raise CalledProcessError."""
    return subprocess.run(
        [python_of(root), *arguments],
        env=environment,
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def main(command: list[str]) -> int:
    """Run a command with URL and TOKEN of a service of its own; return its status."""
    with temporary_service() as (url, token):
        environment = {**os.environ, "URL": url, "TOKEN": token}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
