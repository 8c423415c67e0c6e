"""A rolling deploy with a migration under load; see ./sre/rolling-deploy."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psycopg

from sre.lib.balancer import Balancer
from sre.lib.containers import Engine, EngineError
from sre.lib.load import Load
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import temporary_postgres
from sre.lib.processes import wait_until
from sre.lib.service import ROOT, Service

BUCKET = "mirrorsite-rolling"
CLIENTS = 8
#: Requests that must have been answered before the next step is taken.
PER_STEP = 150
#: As long as the platform waits between an instance's removal from the load balancer and
#: its SIGTERM. Clients that keep their connections go on sending meanwhile.
PRE_STOP_SECONDS = 3.0
LONG_BYTES = 24 * 1024 * 1024
MIGRATE = ("migrate", "--no-input", "-v0")
NEXT_SETTINGS = "next_release.settings"
#: The next release: one more migration. It adds a column that must be filled, with a
#: default in the database, so that the release before, which does not know it, can
#: go on inserting.
NEXT_RELEASE = {
    "__init__.py": "",
    "settings.py": (
        "from mirrorsite.settings import *\n"
        'INSTALLED_APPS = [*INSTALLED_APPS, "next_release"]\n'
    ),
    "migrations/__init__.py": "",
    "migrations/0001_column.py": """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("uploads", "LAST")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE uploads_upload ADD COLUMN next_release text NOT NULL DEFAULT 'before'",
            "ALTER TABLE uploads_upload DROP COLUMN next_release",
        )
    ]
""",
}


class FaultError(AssertionError):
    """The deploy was not without a trace."""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Instance(Protocol):
    """One running instance of a release."""

    port: int

    def stop(self) -> None:
        """End it by SIGTERM and wait until it has."""


class Platform(Protocol):
    """Where instances run: as processes of this machine, or in containers."""

    what: str

    def start(self, release: str) -> Instance: ...

    def manage(self, release: str, *arguments: str) -> None:
        """Run manage.py of a release; raises when it fails."""


@dataclass
class Processes:
    """gunicorns of this checkout."""

    directory: Path
    environment: dict[str, str]
    what: str = "as processes of this machine (--image: in containers)"
    _started: int = 0

    def __post_init__(self) -> None:
        self.environment = {
            **self.environment,
            "STATIC_ROOT": str(self.directory / "static"),
        }
        self.manage("first", "collectstatic", "--no-input", "-v0")

    def start(self, release: str) -> Instance:
        self._started += 1
        log = self.directory / f"{self._started}.log"
        service = Service(self._environment(release), log)
        service.start()
        return service

    def manage(self, release: str, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env={**os.environ, **self._environment(release)},
            cwd=ROOT,
            check=True,
        )

    def _environment(self, release: str) -> dict[str, str]:
        if release == "first":
            return self.environment
        return self.environment | {
            "DJANGO_SETTINGS_MODULE": NEXT_SETTINGS,
            "PYTHONPATH": str(self.directory / "code"),
        }


@dataclass
class Container:
    """A container of a release that listens on a port of this machine."""

    engine: Engine
    name: str
    port: int

    def stop(self) -> None:
        status = self.engine.end(self.name)
        if status:
            raise FaultError(f"a container ended with {status}")


class Containers:
    """Containers of the built image; the next release is one layer more."""

    def __init__(
        self, directory: Path, environment: dict[str, str], engine: Engine
    ) -> None:
        self.what = f"as containers of {engine.image}, by {engine.program}"
        self._environment = environment
        self._name = f"mirrorsite-rolling-{secrets.token_hex(4)}"
        self._engines = {
            "first": engine,
            "next": Engine(engine.program, f"localhost/{self._name}:next"),
        }
        self._names: list[str] = []
        (directory / "code" / "Containerfile").write_text(
            f"FROM {engine.image}\nCOPY next_release /app/next_release\n"
            f"ENV DJANGO_SETTINGS_MODULE={NEXT_SETTINGS}\n"
        )
        engine.call(
            "build", "--network=host", "--ulimit=nofile=1024:1024",
            f"--file={directory / 'code' / 'Containerfile'}",
            f"--tag={self._engines['next'].image}", str(directory / "code"),
        )  # fmt: skip

    def start(self, release: str) -> Instance:
        port = free_port()
        name = f"{self._name}-{len(self._names)}"
        self._names.append(name)
        environment = self._environment | {"BIND": f"127.0.0.1:{port}"}
        self._engines[release].run(environment, name=name)
        return Container(self._engines[release], name, port)

    def manage(self, release: str, *arguments: str) -> None:
        self._engines[release].run(
            self._environment, "python", "manage.py", *arguments,
            name=f"{self._name}-job",
        )  # fmt: skip

    def close(self) -> None:
        """Leave neither containers nor the next release's image."""
        for name in self._names:
            self._engines["first"].remove(name)
        self._engines["next"].call("rmi", self._engines["next"].image, check=False)


@dataclass
class Deploy:
    """Two instances of a release behind a balancer, replaced one by one."""

    platform: Platform
    balancer: Balancer
    #: Clients with a connection for each request, and clients that keep theirs.
    loads: tuple[Load, Load]
    running: list[tuple[str, Instance]] = field(default_factory=list)
    releases: dict[int, str] = field(default_factory=dict)

    def begin(self, release: str) -> Instance:
        """Start an instance and let it in when it is ready, as the cluster does."""
        instance = self.platform.start(release)
        self.running.append((release, instance))
        if not wait_until(lambda: _is_ready(instance.port), seconds=180):
            raise FaultError(f"an instance of the {release} release is never ready")
        self.releases[instance.port] = release
        self.balancer.add(instance.port)
        return instance

    def end(self, service: Instance) -> None:
        """Take an instance out and end it by SIGTERM, with a long request under way."""
        long = _LongUpload(service.port)
        long.start()
        if not wait_until(lambda: long.sent, seconds=60):
            raise FaultError("the long upload was never sent")
        self.balancer.take_out(service.port)
        time.sleep(PRE_STOP_SECONDS)
        kept = self.balancer.open[service.port]
        under_way = long.is_alive()
        began = time.monotonic()
        service.stop()
        took = time.monotonic() - began
        long.join(60)
        if long.status != 201:
            raise FaultError(f"the long upload was answered {long.status}")
        self.running = [pair for pair in self.running if pair[1] is not service]
        say(
            f"      ended by SIGTERM in {took:.1f} s; an upload of"
            f" {LONG_BYTES >> 20} MiB {'was under way and' if under_way else 'had just'}"
            f" got its 201; {kept} keep-alive connections were open"
        )

    @property
    def answered(self) -> int:
        return sum(load.answered for load in self.loads)

    def serve(self, what: str) -> None:
        """Let the load go on for a while with what stands behind the balancer now."""
        before = dict(self.balancer.served)
        aim = self.answered + PER_STEP
        if not wait_until(lambda: self.answered >= aim, seconds=120):
            raise FaultError(f"{what}: the load stands still")
        served: dict[str, int] = {}
        for port, count in self.balancer.served.items():
            release = self.releases[port]
            served[release] = served.get(release, 0) + count - before.get(port, 0)
        shown = ", ".join(f"{n} by the {r} release" for r, n in served.items() if n)
        say(f"ok    {what}: {shown}")
        for release, _ in self.running:
            if not served.get(release):
                raise FaultError(f"{what}: the {release} release served nothing")


class _LongUpload(threading.Thread):
    """One large upload, straight to an instance; `status` is its answer."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.sent = False
        self.status: int | None = None

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps({"size": LONG_BYTES})
        headers = {"Content-Type": "application/json", "Connection": "close"}
        try:
            connection.request("POST", "/api/upload-random", body, headers)
            self.sent = True
            answer = connection.getresponse()
            answer.read()
            self.status = answer.status
        finally:
            connection.close()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _write_next_release(directory: Path) -> None:
    names = sorted(path.stem for path in (ROOT / "uploads/migrations").glob("0*.py"))
    for name, text in NEXT_RELEASE.items():
        path = directory / "code" / "next_release" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("LAST", names[-1]))


def _roll(deploy: Deploy, database_url: str) -> None:
    old = [deploy.begin("first"), deploy.begin("first")]
    for load in deploy.loads:
        load.start()
    deploy.serve("two instances of the first release")
    deploy.platform.manage("next", *MIGRATE)
    deploy.serve("migrated, the first release alone on the new tables")
    for number, service in enumerate(old, start=1):
        deploy.begin("next")
        deploy.serve(f"old and new release at once, {number} of 2")
        deploy.end(service)
    deploy.serve("two instances of the next release")
    stored = len(old)  # the long ones
    for load in deploy.loads:
        load.stop()
        failed = sum(load.outcomes.values()) - load.outcomes["201"]
        say(
            f"{sum(load.outcomes.values())} requests"
            f"{' on keep-alive connections' if load.keep_alive else ''},"
            f" {failed} failed, {dict(load.outcomes)}, {load.seconds:.1f} s"
        )
        if failed:
            raise FaultError(f"requests failed: {load.errors}")
        stored += load.outcomes["201"]
    with psycopg.connect(database_url) as connection:
        counted: dict[str, int] = dict(
            connection.execute(
                "SELECT status, count(*) FROM uploads_upload GROUP BY status"
            ).fetchall()
        )
    if counted != {"stored": stored}:
        raise FaultError(f"the records say {counted}")
    say(f"ok    as many records as answers, all stored: {counted['stored']}")


@contextmanager
def _platform(
    arguments: argparse.Namespace, directory: Path, environment: dict[str, str]
) -> Iterator[Platform]:
    if not arguments.image:
        yield Processes(directory, environment)
        return
    containers = Containers(
        directory, environment, Engine(arguments.engine, arguments.image)
    )
    try:
        yield containers
    finally:
        containers.close()


def main() -> int:
    arguments = _arguments()
    with ExitStack() as stack:
        database_url = stack.enter_context(temporary_postgres())
        directory = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="mirrorsite-rolling-")
            )
        )
        _write_next_release(directory)
        store = ObjectStore(
            directory / "store", free_port(), "local-key", secrets.token_urlsafe(20)
        )
        store.start()
        stack.callback(store.kill)
        balancer = Balancer()
        stack.callback(balancer.close)
        environment = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DATABASE_URL": database_url,
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS_ONLY": "false",
            "LOG_FORMAT": "text",
            "WEB_CONCURRENCY": "1",
            # For all clients, the long upload, and the two that never wait for the store:
            # none is to be told that it is busy when a disk stands still for a second.
            "WEB_THREADS": str(CLIENTS + 1 + 2),
            "UPLOAD_RATE_LIMIT": "off",
            **store.environment(BUCKET),
        }
        loads = (
            Load(balancer.url, clients=CLIENTS // 2, most_requests=100_000),
            Load(
                balancer.url,
                clients=CLIENTS // 2,
                most_requests=100_000,
                keep_alive=True,
            ),
        )
        try:
            platform = stack.enter_context(_platform(arguments, directory, environment))
            say(f"Two instances {platform.what}, and PostgreSQL.")
            deploy = Deploy(platform, balancer, loads)
            try:
                platform.manage("first", *MIGRATE)
                platform.manage("first", "ensure_bucket")
                _roll(deploy, database_url)
            finally:
                for load in loads:
                    load.stop()
                for _, instance in deploy.running:
                    instance.stop()
        except (FaultError, EngineError) as error:
            say(f"FAIL  {error}")
            return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sre/rolling-deploy")
    parser.add_argument("--image", help="a built image; its containers are replaced")
    parser.add_argument("--engine", default="podman", choices=("podman", "docker"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
