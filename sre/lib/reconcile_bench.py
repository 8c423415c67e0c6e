"""Time and memory of reconcile_uploads; see sre/reconcile-bench."""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from sre.lib import raw_puts
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import temporary_postgres
from sre.lib.service import ROOT

BUCKET = "mirrorsite-bench"
_BATCH = 5000


@dataclass
class Runs:
    """The measurements of one command."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(prog="sre/reconcile-bench")
    parser.add_argument("--objects", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    # The script starts itself again to fill the database.
    parser.add_argument("--fill", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fill:
        _fill_database(*arguments.fill)
        return 0
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="mirrorsite-bench-"))
        )
        store = ObjectStore(
            directory / "store", free_port(), "bench", secrets.token_hex(16)
        )
        stack.callback(store.stop)
        store.start()
        environment = _environment(store, stack.enter_context(temporary_postgres()))
        _run(store, environment, arguments.objects, arguments.rounds)
    return 0


def _run(
    store: ObjectStore, environment: dict[str, str], objects: int, rounds: int
) -> None:
    _manage(environment, "migrate", "--verbosity=0")
    _manage(environment, "ensure_bucket")
    done = 0
    for count in (objects // 10, objects):
        _say(f"Filling up to {count:,} objects …")
        began = time.monotonic()
        for start in range(done, count, 20_000):
            stop = min(start + 20_000, count)
            pairs = [(_key(n), _body(n)) for n in range(start, stop)]
            raw_puts.put_many(store, BUCKET, pairs, processes=4)
            _say(f"  {stop:,} objects after {time.monotonic() - began:.0f} s")
        subprocess.run(
            [
                *(sys.executable, "-m", "sre.lib.reconcile_bench"),
                *("--fill", str(done), str(count)),
            ],
            env=environment,
            cwd=ROOT,
            check=True,
        )
        done = count
        print(_table(count, _measure(environment, rounds)), flush=True)


def _measure(environment: dict[str, str], rounds: int) -> dict[str, Runs]:
    aws = [
        str(Path(sysconfig.get_path("scripts")) / "aws"),
        "s3", "ls", "--recursive", f"s3://{BUCKET}/uploads/",
        "--endpoint-url", environment["AWS_ENDPOINT_URL_S3"],
    ]  # fmt: skip
    reconcile = [sys.executable, "manage.py", "reconcile_uploads"]
    commands = {"aws s3 ls --recursive": aws, "reconcile_uploads": reconcile}
    results = {name: Runs() for name in commands}
    for _ in range(rounds):
        # Alternating, so that other load on the machine affects both alike.
        for name, command in commands.items():
            seconds, cpu_seconds, peak_mib = _timed(command, environment)
            results[name].seconds.append(seconds)
            results[name].cpu_seconds.append(cpu_seconds)
            results[name].peak_mib.append(peak_mib)
    return results


def _timed(
    command: list[str], environment: dict[str, str]
) -> tuple[float, float, float]:
    """Return wall time, processor time, and the most memory it had, in MiB."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[-1]} ended with {process.returncode}")
    # Kilobytes on Linux, bytes on macOS: getrusage(2).
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return time.monotonic() - began, cpu_seconds, usage.ru_maxrss / unit


def _table(count: int, results: dict[str, Runs]) -> str:
    lines = [
        f"{count:,} objects; median of {len(next(iter(results.values())).seconds)}",
        f"{'':<32}{'seconds':>9}{'times':>8}{'CPU s':>8}{'peak MiB':>10}",
    ]
    base = 0.0
    for name, runs in results.items():
        seconds = statistics.median(runs.seconds)
        base = base or seconds
        lines.append(
            f"{name:<32}{seconds:>9.1f}{seconds / base:>8.2f}"
            f"{statistics.median(runs.cpu_seconds):>8.1f}{max(runs.peak_mib):>10.0f}"
        )
    return "\n".join(lines) + "\n"


def _key(number: int) -> str:
    """Return the key of the service's form; 2,000 uploads a day."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number // 2000)
    return f"uploads/{at:%Y/%m/%d}/{_id(number)}.txt"


def _id(number: int) -> uuid.UUID:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=43 * number)
    milliseconds = int(at.timestamp() * 1000)
    random = int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:8])
    value = milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | random >> 2
    return uuid.UUID(int=value)


def _body(number: int) -> bytes:
    return str(number % 10_000).encode()


def _fill_database(start: int, stop: int) -> None:
    import django

    django.setup()
    from django.utils import timezone

    from uploads.models import Action, Upload, UploadEvent

    numbers = iter(range(start, stop))
    while batch := list(islice(numbers, _BATCH)):
        uploads = [
            Upload(
                id=_id(number),
                bucket=BUCKET,
                key=_key(number),
                status="stored",
                size=len(_body(number)),
                sha256=hashlib.sha256(_body(number)).hexdigest(),
                etag=hashlib.md5(_body(number), usedforsecurity=False).hexdigest(),
                requester_name="anonymous",
            )
            for number in batch
        ]
        Upload.objects.bulk_create(uploads)
        UploadEvent.objects.bulk_create(
            UploadEvent(
                upload=upload, action=action, at=timezone.now(), actor="anonymous"
            )
            for upload in uploads
            for action in (Action.REQUESTED, Action.STORED)
        )


def _environment(store: ObjectStore, database_url: str) -> dict[str, str]:
    return {
        **os.environ,
        **store.environment(BUCKET),
        "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
        "DATABASE_URL": database_url,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "HTTPS_ONLY": "false",
    }


def _manage(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
