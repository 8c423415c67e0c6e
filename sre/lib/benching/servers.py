"""The contenders: how each is started, and how its answers are verified."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from sre.lib import processes
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port, is_listening
from sre.lib.postgres import new_database
from sre.lib.service import ROOT, Service

PEERS = Path(__file__).parent / "contenders"
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
MIRROR = "/api/mirror?word=fOoBar25"
HEALTH = "/api/health"
UPLOAD = "/api/upload-random"
#: Without a new object for so long, an earlier load is over.
CALM_SECONDS = 1.0


class WrongAnswerError(RuntimeError):
    """A contender did not do what it answered: its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Running:
    """A contender that listens."""

    url: str
    pid: int


@dataclass(kw_only=True)
class World:
    """What all contenders share; each start has a bucket of its own.

    `postgresql` is the URL of a server, on which each name has a database of its own.
    """

    store: ObjectStore
    directory: Path
    postgresql: str
    workers: int
    threads: int
    #: Other checkouts of this project, to compare with.
    also: tuple[Path, ...] = ()
    bucket: str = ""
    _buckets: int = 0
    _databases: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def mirrorsite(
        self, name: str, *, root: Path = ROOT, **more: str
    ) -> Iterator[Running]:
        """Start this service, with its production settings but for HTTPS and limits.

        From another checkout when `root` says so; `more` are further variables.
        """
        environment = self.environment(self.database(name)) | more
        subprocess.run(
            [sys.executable, "-m", "sre.lib.prepare"],
            env={"PATH": "/usr/bin:/bin", **environment, "HTTPS_ONLY": "false"},
            cwd=root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        service = Service(environment, log=self.directory / f"{name}.log", root=root)
        service.start()
        try:
            assert service.process is not None  # noqa: S101 it has just been started
            yield Running(service.url, service.process.pid)
        finally:
            service.stop()

    def database(self, name: str) -> str:
        """Return the URL of a database, which is empty at first."""
        if name not in self._databases:
            self._databases[name] = new_database(self.postgresql, name)
        return self._databases[name]

    def environment(self, database_url: str) -> dict[str, str]:
        """Return the variables of this service, on an empty bucket."""
        (self.directory / "static").mkdir(exist_ok=True)
        return {
            **self.store.environment(self.new_bucket()),
            "DATABASE_URL": database_url,
            "SECRET_KEY": secrets.token_urlsafe(50),
            "STATIC_ROOT": str(self.directory / "static"),
            "LOG_FORMAT": "json",
            "METRICS_BIND": f"127.0.0.1:{free_port()}",
            "UPLOAD_RATE_LIMIT": "off",
            "WEB_CONCURRENCY": str(self.workers),
            "WEB_THREADS": str(self.threads),
        }

    @contextmanager
    def peer(self, name: str, *command: str) -> Iterator[Running]:
        """Start one of the peers' commands, in which {port} stands for its port."""
        port = free_port()
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(PEERS),
            **self.store.environment(self.new_bucket()),
        }
        process = processes.start(
            [
                str(PEERS_PYTHON),
                *(part.replace("{port}", str(port)) for part in command),
            ],
            environment=environment,
            cwd=PEERS,
            log=self.directory / f"{name}.log",
        )
        try:
            if not processes.wait_until(
                lambda: is_listening(port), seconds=30, process=process
            ):
                raise WrongAnswerError(f"{name} did not start")
            yield Running(f"http://127.0.0.1:{port}", process.pid)
        finally:
            processes.stop(process)

    def flask(self) -> Any:
        """Start the original under its development server."""
        return self.peer("flask", "flask_app.py", "{port}")

    def flask_gunicorn(self) -> Any:
        """Start the original under gunicorn, with this service's flags."""
        return self.peer(
            "flask-gunicorn",
            "-m", "gunicorn", "--bind=127.0.0.1:{port}", "--worker-class=gthread",
            f"--workers={self.workers}", f"--threads={self.threads}",
            "--keep-alive=75", "--access-logfile=-", "flask_app:app",
        )  # fmt: skip

    def fastapi(self) -> Any:
        """Start the same handlers behind FastAPI on uvicorn."""
        return self.peer(
            "fastapi",
            "-m", "uvicorn", "--host=127.0.0.1", "--port={port}",
            f"--workers={self.workers}", "fastapi_app:app",
        )  # fmt: skip

    def contenders(self) -> dict[str, Any]:
        """Return how to start each, by name, in the order of the table."""
        return {
            "mirrorsite": partial(self.mirrorsite, "mirrorsite"),
            **{
                f"mirrorsite of {tree.name}": partial(
                    self.mirrorsite, tree.name, root=tree
                )
                for tree in self.also
            },
            "Flask original, gunicorn": self.flask_gunicorn,
            "Flask original, development server": self.flask,
            "FastAPI, uvicorn": self.fastapi,
        }

    # --- Verifying -------------------------------------------------------------------

    def verify(self, running: Running) -> None:
        """Compare each route's answer with what it must be; raises `WrongAnswerError`."""
        for path, expected in (
            (HEALTH, {"status": "ok"}),
            (MIRROR, {"transformed": "47RAbOoF"}),
        ):
            answer = _ask(running.url + path)
            if answer != expected:
                raise WrongAnswerError(f"{path} answered {answer}")
        before = self._calm_objects()
        answer = _ask(running.url + UPLOAD, method="POST")
        if answer.get("uploaded") != "ok":
            raise WrongAnswerError(f"{UPLOAD} answered {answer}")
        changed = self._objects().items() - before.items()
        if len(changed) != 1:
            raise WrongAnswerError(f"one upload left {len(changed)} objects")
        ((key, _),) = changed
        if answer.get("key", key) != key:
            raise WrongAnswerError(f"{answer['key']} was answered, {key} is there")
        content = self._client().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        number = str(answer.get("number", key.removesuffix(".txt")))
        if content.decode() != number:
            raise WrongAnswerError(f"{key} holds {content!r}, not {number}")

    def _calm_objects(self) -> dict[str, Any]:
        """Return the objects once no request of an earlier load is carried out any more."""
        seen = self._objects()
        unchanged_since = time.monotonic()
        while time.monotonic() - unchanged_since < CALM_SECONDS:
            now = self._objects()
            if now != seen:
                seen, unchanged_since = now, time.monotonic()
        return seen

    def count(self) -> int:
        """Return how many objects are in the bucket."""
        return len(self._calm_objects())

    def _objects(self) -> dict[str, Any]:
        pages = (
            self._client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        )
        return {
            entry["Key"]: entry["LastModified"]
            for page in pages
            for entry in page.get("Contents", ())
        }

    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.store.url,
            aws_access_key_id=self.store.access_key,
            aws_secret_access_key=self.store.secret_key,
            region_name="us-east-1",
        )

    def new_bucket(self) -> str:
        """Make an empty bucket, which the next contender uses; return its name."""
        self._buckets += 1
        self.bucket = f"bench-{self._buckets}"
        self._client().create_bucket(Bucket=self.bucket)
        return self.bucket


def _ask(url: str, method: str = "GET") -> dict[str, Any]:
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        decoded: dict[str, Any] = json.load(answer)
    return decoded
