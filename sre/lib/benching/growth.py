"""`python -m sre.lib.benching.growth`: payload size, exports, and the start."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import secrets
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

from sre.lib.benching.marks import write_between
from sre.lib.benching.servers import Running, World
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import temporary_postgres
from sre.lib.service import ROOT, Service

SIZES = {
    "4 B": 4,
    "64 KiB": 64 * 1024,
    "8 MiB": 8 * 1024**2,
    "64 MiB": 64 * 1024**2,
    "1 GiB": 1024**3,
}
EXPORTS = (1_000, 10_000, 100_000)
ROUNDS = 3


def main() -> int:
    arguments = _arguments()
    with (
        tempfile.TemporaryDirectory(prefix="mirrorsite-growth-") as name,
        temporary_postgres() as postgresql,
    ):
        directory = Path(name)
        store = ObjectStore(
            directory / "store", free_port(), "bench", secrets.token_hex(16)
        )
        store.start()
        world = World(
            store=store,
            directory=directory,
            postgresql=postgresql,
            workers=1,
            threads=8,
        )
        try:
            tables = [
                part(world)
                for part_name, part in PARTS.items()
                if arguments.only in {None, part_name}
            ]
        finally:
            store.kill()
    text = "\n\n".join(tables)
    print(text)
    if arguments.write:
        write_between(arguments.write, "sre/growth", text)
    return 0


# --- Size of the payload -------------------------------------------------------------


def payload(world: World) -> str:
    """Upload each size through the service and by `aws s3 cp`, and compare the bytes."""
    lines = [
        "| payload | upload-random s | MiB/s | `aws s3 cp` s | MiB/s"
        " | worker grew by MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    with world.mirrorsite("payload", UPLOAD_MAX_BYTES=str(1024**3)) as running:
        _upload(running, 1)  # what is built once is built now
        for name, size in SIZES.items():
            _say(f"payload of {name} …")
            before = _peak(running)
            ours, theirs = [], []
            for _ in range(1 if size > 2**28 else ROUNDS):
                seconds, key, sha256 = _upload(running, size)
                ours.append(seconds)
                theirs.append(_aws_cp(world, key, sha256))
            grown = _peak(running) - before
            mib = size / 2**20
            lines.append(
                f"| {name} | {min(ours):.3f} | {mib / min(ours):.1f}"
                f" | {min(theirs):.3f} | {mib / min(theirs):.1f} | {grown:.1f} |"
            )
    return "\n".join(lines)


def _upload(running: Running, size: int) -> tuple[float, str, str]:
    request = urllib.request.Request(
        f"{running.url}/api/upload-random",
        data=json.dumps({"size": size}).encode(),
        headers={"Content-Type": "application/json"},
    )
    before = time.monotonic()
    with urllib.request.urlopen(request, timeout=600) as answer:
        body = json.load(answer)
    return time.monotonic() - before, body["key"], body["sha256"]


def _aws_cp(world: World, key: str, sha256: str) -> float:
    """Fetch the object, check its digest, and time putting it there again by the CLI."""
    local = world.directory / "copy"
    source = f"s3://{world.bucket}/{key}"
    _aws(world, "s3", "cp", "--only-show-errors", source, str(local))
    with local.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise RuntimeError(f"{key} is not what was answered")
    before = time.monotonic()
    _aws(world, "s3", "cp", "--only-show-errors", str(local), source + ".copy")
    seconds = time.monotonic() - before
    local.unlink()
    return seconds


def _aws(world: World, *arguments: str) -> None:
    subprocess.run(
        [Path(sysconfig.get_path("scripts")) / "aws", *arguments],
        env={**os.environ, **world.store.environment(world.bucket)},
        check=True,
    )


def _peak(running: Running) -> float:
    """Return the most memory that a worker ever held, in MiB."""
    peaks = []
    for child in psutil.Process(running.pid).children():
        status = Path(f"/proc/{child.pid}/status").read_text()
        peaks.append(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
    return max(peaks)


# --- Exports -------------------------------------------------------------------------


def export(world: World) -> str:
    """Export tables of several sizes; seconds, lines, and memory."""
    lines = [
        "| uploads | export_uploads s | export_events s | peak MiB |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for count in EXPORTS:
        _say(f"exports of {count:,} uploads …")
        environment = {
            **os.environ,
            **world.store.environment(world.new_bucket()),
            "DATABASE_URL": world.database(f"export-{count}"),
            "SECRET_KEY": "x" * 60,
            "HTTPS_ONLY": "false",
            "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
        }
        _manage(environment, "migrate", "--verbosity=0")
        _run(environment, "-m", "sre.lib.fill", str(count))
        seconds, peaks = [], []
        for command in ("export_uploads", "export_events"):
            taken, peak = _manage(environment, command, "--format=jsonl")
            seconds.append(taken)
            peaks.append(peak)
        lines.append(
            f"| {count:,} | {seconds[0]:.1f} | {seconds[1]:.1f} | {max(peaks):.0f} |"
        )
    return "\n".join(lines)


def _manage(environment: dict[str, str], *arguments: str) -> tuple[float, float]:
    return _run(environment, "manage.py", *arguments)


def _run(environment: dict[str, str], *arguments: str) -> tuple[float, float]:
    """Run a program of ours; return its seconds and its peak memory in MiB."""
    before = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(
            f"{arguments} ended with {os.waitstatus_to_exitcode(status)}"
        )
    return time.monotonic() - before, usage.ru_maxrss / 1024


# --- The start -----------------------------------------------------------------------


def start(world: World) -> str:
    """Start the service on a database that is up to date; seconds until it answers."""
    lines = ["| start | seconds | MiB a worker |", "| --- | ---: | ---: |"]
    with world.mirrorsite("start"):
        pass
    for number in range(ROUNDS):
        _say(f"start {number + 1} …")
        environment = world.environment(world.database("start"))
        service = Service(environment, log=world.directory / "start.log")
        before = time.monotonic()
        service.start()
        seconds = time.monotonic() - before
        assert service.process is not None  # noqa: S101 it has just been started
        children = psutil.Process(service.process.pid).children()
        memory = max(child.memory_info().rss for child in children) / 2**20
        service.stop()
        lines.append(f"| {number + 1} | {seconds:.2f} | {memory:.0f} |")
    return "\n".join(lines)


PARTS: dict[str, Callable[[World], str]] = {
    "payload": payload,
    "export": export,
    "start": start,
}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sre/growth")
    parser.add_argument("--only", choices=sorted(PARTS))
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
