"""What every scenario is given: the options, servers, and ways to run things."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import boto3

from sre.benchmarks.wrk import Measurement, measure
from sre.lib.ports import free_port
from sre.lib.service import ROOT
from sre.lib.stack import Stack

T = TypeVar("T")


@dataclass
class Bench:
    """A stack that is used by nothing else, and the options of the command line."""

    stack: Stack
    rounds: int
    seconds: float
    clients: int
    workers: int
    threads: int
    count: int
    also: tuple[Path, ...] = ()
    only: str = ""
    _databases: dict[str, str] = field(default_factory=dict)
    _buckets: int = 0

    def interleaved(self, contenders: Sequence[T]) -> Iterator[T]:
        """Yield all contenders in each round, in every second one in reverse order.

        So other load on the machine, and growth over time, affects all of them alike.
        """
        for number in range(self.rounds):
            yield from reversed(contenders) if number % 2 else contenders

    def environment(self, database: str, **more: str) -> dict[str, str]:
        """Return the environment of the service on a named database and a new bucket."""
        if database not in self._databases:
            self._databases[database] = self.stack.new_database(database)
        return self.stack.environment(
            database_url=self._databases[database],
            bucket=self.new_bucket(),
            LOG_FORMAT="json",
            METRICS_BIND=f"127.0.0.1:{free_port()}",
            TRUSTED_PROXIES="1",  # wrk's script names a client for each connection
            UPLOAD_RATE_LIMIT="off",
            WEB_CONCURRENCY=str(self.workers),
            WEB_THREADS=str(self.threads),
            **more,
        )

    def measure(
        self, url: str, pid: int, method: str
    ) -> tuple[Measurement, Measurement]:
        """Measure an address for a second, which warms it up, and then for a round."""
        load = partial(measure, url, method=method, clients=self.clients, pid=pid)
        return load(seconds=1), load(seconds=self.seconds)

    def new_bucket(self) -> str:
        self._buckets += 1
        name = f"bench-{self._buckets}"
        self.s3().create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str) -> list[str]:
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def s3(self) -> Any:
        store = self.stack.store
        return boto3.client(
            "s3",
            endpoint_url=store.url,
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret_key,
            region_name="us-east-1",
        )


def timed(environment: dict[str, str], *command: str) -> tuple[float, float, float]:
    """Run a program; return its seconds, processor seconds and peak memory in MiB."""
    before = time.monotonic()
    child = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - before
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}")
    # Kilobytes on Linux, bytes on macOS: getrusage(2).
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit


def manage(environment: dict[str, str], *arguments: str) -> tuple[float, float, float]:
    """Run a management command of this checkout; see `timed`."""
    return timed(environment, sys.executable, "manage.py", *arguments)


def fill(environment: dict[str, str], *arguments: str) -> None:
    """Migrate a database, and fill it with sre/fill."""
    manage(environment, "migrate", "--verbosity=0")
    timed(environment, sys.executable, "-m", "sre.lib.fill", *arguments)


def aws(environment: dict[str, str], *arguments: str) -> tuple[float, float, float]:
    """Run the AWS CLI of this environment; see `timed`."""
    return timed(environment, f"{sysconfig.get_path('scripts')}/aws", *arguments)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
