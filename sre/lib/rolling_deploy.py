"""A rolling deploy with a migration under load; see ./sre/rolling-deploy."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from sre.lib.balancer import Balancer
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
LONG_BYTES = 24 * 1024 * 1024
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


@dataclass
class Deploy:
    """Two instances of a release behind a balancer, replaced one by one."""

    directory: Path
    environment: dict[str, str]
    balancer: Balancer
    load: Load
    running: list[tuple[str, Service]] = field(default_factory=list)
    releases: dict[int, str] = field(default_factory=dict)

    def begin(self, release: str) -> Service:
        """Start an instance and let it in when it is ready, as the cluster does."""
        environment = dict(self.environment)
        if release == "next":
            environment |= self.next_release()
        service = Service(environment, self.directory / f"{len(self.releases)}.log")
        service.start()
        if not wait_until(lambda: _is_ready(service.port), seconds=20):
            raise FaultError(f"an instance of the {release} release is never ready")
        self.releases[service.port] = release
        self.running.append((release, service))
        self.balancer.add(service.port)
        return service

    def end(self, service: Service) -> None:
        """Take an instance out and end it by SIGTERM, with a long request under way."""
        long = _LongUpload(service.port)
        long.start()
        if not wait_until(lambda: long.sent, seconds=10):
            raise FaultError("the long upload was never sent")
        self.balancer.take_out(service.port)
        # What preStop waits for: nobody sends it anything new.
        if not wait_until(lambda: not self.balancer.open[service.port], seconds=15):
            raise FaultError("connections to an instance that was taken out stay open")
        under_way = long.is_alive()
        began = time.monotonic()
        service.stop()
        took = time.monotonic() - began
        long.join(30)
        if long.status != 201:
            raise FaultError(f"the long upload was answered {long.status}")
        self.running = [pair for pair in self.running if pair[1] is not service]
        say(
            f"      ended by SIGTERM in {took:.1f} s; an upload of"
            f" {LONG_BYTES >> 20} MiB {'was under way and' if under_way else 'had just'}"
            " got its 201"
        )

    def serve(self, what: str) -> None:
        """Let the load go on for a while with what stands behind the balancer now."""
        before = dict(self.balancer.served)
        aim = self.load.answered + PER_STEP
        if not wait_until(lambda: self.load.answered >= aim, seconds=30):
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

    def next_release(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "next_release.settings",
            "PYTHONPATH": str(self.directory / "code"),
        }

    def migrate(self, **environment: str) -> None:
        _manage({**self.environment, **environment}, "migrate", "--no-input", "-v0")


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


def _manage(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={**os.environ, **environment},
        cwd=ROOT,
        check=True,
    )


def _write_next_release(directory: Path) -> None:
    names = sorted(path.stem for path in (ROOT / "uploads/migrations").glob("0*.py"))
    for name, text in NEXT_RELEASE.items():
        path = directory / "code" / "next_release" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("LAST", names[-1]))


def _roll(deploy: Deploy, database_url: str) -> None:
    old = [deploy.begin("first"), deploy.begin("first")]
    deploy.load.start()
    deploy.serve("two instances of the first release")
    deploy.migrate(**deploy.next_release())
    deploy.serve("migrated, the first release alone on the new tables")
    for number, service in enumerate(old, start=1):
        deploy.begin("next")
        deploy.serve(f"old and new release at once, {number} of 2")
        deploy.end(service)
    deploy.serve("two instances of the next release")
    deploy.load.stop()
    load = deploy.load
    failed = sum(load.outcomes.values()) - load.outcomes["201"]
    say(
        f"{sum(load.outcomes.values())} requests, {failed} failed,"
        f" {dict(load.outcomes)}, {load.seconds:.1f} s"
    )
    if failed:
        raise FaultError(f"requests failed: {load.errors}")
    with psycopg.connect(database_url) as connection:
        counted: dict[str, int] = dict(
            connection.execute(
                "SELECT status, count(*) FROM uploads_upload GROUP BY status"
            ).fetchall()
        )
    # Two more than the load's: the long ones.
    if counted != {"stored": load.outcomes["201"] + len(old)}:
        raise FaultError(f"the records say {counted}")
    say(f"ok    as many records as answers, all stored: {counted['stored']}")


def main() -> int:
    say("Two gunicorns on one machine, as processes (no containers), and PostgreSQL.")
    with (
        tempfile.TemporaryDirectory(prefix="mirrorsite-rolling-") as name,
        temporary_postgres() as database_url,
    ):
        directory = Path(name)
        _write_next_release(directory)
        store = ObjectStore(
            directory / "store", free_port(), "local-key", secrets.token_urlsafe(20)
        )
        store.start()
        balancer = Balancer()
        environment = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DATABASE_URL": database_url,
            "STATIC_ROOT": str(directory / "static"),
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS_ONLY": "false",
            "LOG_FORMAT": "text",
            "WEB_CONCURRENCY": "1",
            "UPLOAD_RATE_LIMIT": "off",
            **store.environment(BUCKET),
        }
        load = Load(balancer.url, clients=CLIENTS, most_requests=100_000)
        deploy = Deploy(directory, environment, balancer, load)
        try:
            deploy.migrate()
            _manage(environment, "collectstatic", "--no-input", "-v0")
            _manage(environment, "ensure_bucket")
            _roll(deploy, database_url)
        except FaultError as error:
            say(f"FAIL  {error}")
            return 1
        finally:
            load.stop()
            for _, service in deploy.running:
                service.stop()
            balancer.close()
            store.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
