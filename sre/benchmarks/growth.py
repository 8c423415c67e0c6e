"""What grows: the payload, and the number of rows."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import psycopg

from sre.benchmarks.bench import Bench, aws, fill, say
from sre.benchmarks.report import Budget, Report, Table
from sre.benchmarks.wrk import COLUMNS
from sre.lib.service import Service

SIZES = {
    "4 B": 4,
    "64 KiB": 64 * 1024,
    "8 MiB": 8 * 1024**2,
    "64 MiB": 64 * 1024**2,
    "1 GiB": 1024**3,
}
LARGEST = "1 GiB"
COPY = ("s3", "cp", "--only-show-errors")


def payload(bench: Bench) -> Report:
    """Upload each size, and copy the same bytes to the same store with the AWS CLI."""
    table = Table("payload", ("upload s", "aws s3 cp s", "upload / cp", "MiB/s"))
    memory = Table("payload", ("worker grew by MiB",))
    bench.workers = 1
    environment = bench.environment("payload", UPLOAD_MAX_BYTES=str(1024**3))
    bucket = f"s3://{environment['AWS_STORAGE_BUCKET_NAME']}/"
    local = str(bench.stack.directory / "copy")
    with bench.stack.service(environment) as service:
        _upload(service, 1)  # fills the caches
        for name, size in SIZES.items():
            say(f"payload of {name}")
            before = _peak_mib(service)
            _, body = _upload(service, size)
            aws(environment, *COPY, bucket + body["key"], local)
            with Path(local).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != body["sha256"]:
                    raise RuntimeError(f"{body['key']} is not what was answered")
            ours: list[float] = []
            theirs: list[float] = []
            for side in bench.interleaved([ours, theirs]):
                if side is ours:
                    side.append(_upload(service, size)[0])
                else:
                    side.append(aws(environment, *COPY, local, f"{bucket}copy")[0])
            for a, b in zip(ours, theirs, strict=True):
                table.add(name, a, b, a / b, size / 2**20 / a)
            memory.add(name, _peak_mib(service) - before)
    ratios = table.column(LARGEST, "upload / cp")
    ratio = sorted(ratios)[len(ratios) // 2]
    (grown,) = memory.column(LARGEST, "worker grew by MiB")
    budgets = [
        Budget(f"{LARGEST}: upload / aws s3 cp", ratio, 1, is_maximum=True),
        Budget(f"{LARGEST}: worker grows by MiB", grown, 32, is_maximum=True),
    ]
    return Report([table, memory], budgets)


def _upload(service: Service, size: int) -> tuple[float, dict[str, Any]]:
    request = urllib.request.Request(
        f"{service.url}/api/upload-random",
        data=json.dumps({"size": size}).encode(),
        headers={"Content-Type": "application/json"},
    )
    before = time.monotonic()
    with urllib.request.urlopen(request, timeout=600) as answer:
        body = json.load(answer)
    return time.monotonic() - before, body


def _peak_mib(service: Service) -> float:
    """Return the most memory that a worker ever held."""
    workers = psutil.Process(service.pid).children()
    statuses = [Path(f"/proc/{w.pid}/status").read_text() for w in workers]
    return max(int(s.partition("VmHWM:")[2].split()[0]) / 1024 for s in statuses)


def growth(bench: Bench) -> Report:
    """Upload into tables of 1,000 and of many rows; and what a row takes on disk."""
    table = Table("rows", COLUMNS)
    sizes = Table(f"table of {bench.count:,} uploads", ("rows", "MiB", "bytes a row"))
    counts = [1_000, bench.count]
    environments = {}
    for count in counts:
        say(f"filling {count:,} rows")
        environments[count] = bench.environment(f"rows-{count}")
        fill(environments[count], str(count))
    with psycopg.connect(environments[bench.count]["DATABASE_URL"]) as connection:
        for name in ("uploads_upload", "uploads_uploadevent"):
            found = connection.execute(
                f"SELECT count(*), pg_total_relation_size('{name}') FROM {name}"  # noqa: S608 ours
            ).fetchone()
            assert found is not None  # noqa: S101 an aggregate has one row
            rows, size = found
            sizes.add(name, rows, size / 2**20, size / rows)
    for count in bench.interleaved(counts):
        with bench.stack.service(environments[count]) as service:
            url = f"{service.url}/api/upload-random"
            _, measured = bench.measure(url, service.pid, "POST")
        table.add_measured(f"{count:,}", measured)
    return Report([table, sizes])
