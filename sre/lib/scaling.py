"""How the service's rate moves with workers, rows and clients; see ./sre/scaling."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from sre.lib.load import Load
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import temporary_postgres
from sre.lib.service import ROOT, Service, ServiceError

BUCKET = "mirrorsite-scaling"
WARM_UP_SECONDS = 2.0
TABLES = ("uploads_upload", "uploads_uploadevent")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Machine:
    """A store and the directory of everything; databases come and go on it."""

    directory: Path
    store: ObjectStore

    def environment(self, database_url: str, workers: int) -> dict[str, str]:
        return {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DATABASE_URL": database_url,
            "STATIC_ROOT": str(self.directory / "static"),
            "ALLOWED_HOSTS": "127.0.0.1",
            "HTTPS_ONLY": "false",
            "LOG_FORMAT": "json",
            "WEB_CONCURRENCY": str(workers),
            "WEB_THREADS": "6",
            "UPLOAD_RATE_LIMIT": "off",
            **self.store.environment(BUCKET),
        }


@contextmanager
def _machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="mirrorsite-scaling-") as name:
        directory = Path(name)
        store = ObjectStore(
            directory / "store", free_port(), "local-key", secrets.token_urlsafe(20)
        )
        store.start()
        try:
            yield Machine(directory, store)
        finally:
            store.kill()


def _run(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "mirrorsite.settings"}
        | environment,
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _one(database_url: str, query: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _cpu(group: int) -> float:
    """Return the seconds of processor time of a process group's living members."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        # After the name: state, parent, group, …; user and system time are 14 and 15.
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _tail(log: Path) -> str:
    return log.read_text()[-1000:]


def _commits(database_url: str) -> int:
    return _one(
        database_url,
        "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
    )


def _measure(
    machine: Machine, database_url: str, workers: int, clients: int, seconds: float
) -> tuple[str, ...]:
    """One row of the table."""
    service = Service(
        machine.environment(database_url, workers), machine.directory / "service.log"
    )
    service.start()
    try:
        warm = Load(service.url, clients=clients, keep_alive=True)
        warm.start()
        warm.wait(WARM_UP_SECONDS)
        warm.stop()
        load = Load(
            service.url, clients=clients, keep_alive=True, most_requests=1_000_000
        )
        commits = _commits(database_url)
        group = service.process.pid if service.process else 0
        cpu = _cpu(group)
        load.start()
        load.wait(seconds)
        load.stop()
        cpu = _cpu(group) - cpu
        if service.process is None or service.process.poll() is not None:
            raise ServiceError(f"the service ended under load: {_tail(service.log)}")
    finally:
        service.stop()
    # The workers' last numbers reach the statistics when their connections close.
    commits = _commits(database_url) - commits
    done = load.outcomes.pop("201", 0)
    others = ", ".join(f"{n} {what}" for what, n in sorted(load.outcomes.items()))
    times = sorted(load.milliseconds)
    return (
        f"{done / load.seconds:.0f}",
        f"{times[len(times) // 2]:.1f}",
        f"{times[int(len(times) * 0.99)]:.1f}",
        f"{cpu * 1000 / max(1, done):.2f}",
        f"{commits / max(1, done):.1f}",
        others or "0",
    )


def _sizes(database_url: str, rows: int) -> None:
    say(f"\nGrowth, of {rows:,} uploads (indexes and TOAST included):\n")
    say("| table | rows | MiB | bytes a row | MiB per million uploads |")
    say("| --- | ---: | ---: | ---: | ---: |")
    for table in TABLES:
        size = _one(database_url, f"SELECT pg_total_relation_size('{table}')")
        count = _one(database_url, f"SELECT count(*) FROM {table}")  # noqa: S608 ours
        say(
            f"| {table} | {count:,} | {size / 2**20:.0f} | {size / count:.0f}"
            f" | {size / rows * 1e6 / 2**20:.0f} |"
        )


def _table(machine: Machine, options: argparse.Namespace) -> None:
    say("| rows | workers | clients | uploads/s | p50 ms | p99 ms |"
        " CPU ms an upload | transactions an upload | failed |")  # fmt: skip
    say("| ---: " * 9 + "|")
    for rows in options.rows:
        with temporary_postgres() as database_url:
            environment = machine.environment(database_url, 1)
            _run(environment, "manage.py", "migrate", "--no-input", "-v0")
            _run(environment, "manage.py", "ensure_bucket")
            _run(environment, "manage.py", "collectstatic", "--no-input", "-v0")
            _run(environment, "-m", "sre.lib.fill", str(rows))
            for workers in options.workers:
                for clients in options.clients:
                    if options.seconds:
                        values = _measure(
                            machine, database_url, workers, clients, options.seconds
                        )
                        say("| " + " | ".join((f"{rows:,}", str(workers), str(clients), *values)) + " |")  # fmt: skip
            if rows == max(options.rows):
                _sizes(database_url, rows)


def _numbers(text: str) -> list[int]:
    numbers = sorted({int(part) for part in text.split(",")})
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a list of numbers above 0")
    return numbers


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sre/scaling")
    parser.add_argument("--rows", type=_numbers, default=[1_000, 1_000_000])
    parser.add_argument("--workers", type=_numbers, default=[1, 2])
    parser.add_argument("--clients", type=_numbers, default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args(arguments)
    say(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start\n")
    try:
        with _machine() as machine:
            _table(machine, options)
    except ServiceError as error:
        sys.stderr.write(f"sre/scaling: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
