"""One measurement: wrk against an address, and what its processes used meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

REPORT = Path(__file__).with_name("report.lua")
#: wrk's own threads; it costs little beside any contender.
THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run of wrk saw. Milliseconds of latency; CPU in milliseconds a request."""

    rate: float
    p50: float
    p99: float
    cpu: float
    memory_mib: float
    errors: int


def measure(
    url: str,
    *,
    clients: int,
    seconds: float,
    process: psutil.Process | None,
    environment: Mapping[str, str] | None = None,
) -> Measurement:
    """Load `url` with as many connections as clients; raises `CalledProcessError`.

    `process` is the contender's first one; its children count as well. None, where
    there is no server between load and store.
    """
    before = _cpu_seconds(process)
    done = subprocess.run(
        [
            "wrk",
            f"--threads={THREADS}",
            f"--connections={clients}",
            f"--duration={seconds:g}s",
            "--timeout=30s",
            f"--script={REPORT}",
            url,
        ],
        env=os.environ | {"THREADS": str(THREADS)} | dict(environment or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    cpu = _cpu_seconds(process) - before
    seen = json.loads(done.stdout.splitlines()[-1])
    return Measurement(
        rate=seen["requests"] / (seen["microseconds"] / 1e6),
        p50=seen["p50"] / 1e3,
        p99=seen["p99"] / 1e3,
        cpu=cpu / seen["requests"] * 1000 if seen["requests"] else float("nan"),
        memory_mib=_worker_mib(process),
        errors=seen["errors"],
    )


def _family(process: psutil.Process | None) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)] if process else []


def _cpu_seconds(process: psutil.Process | None) -> float:
    total = 0.0
    for member in _family(process):
        times = member.cpu_times()
        total += times.user + times.system
    return total


def _worker_mib(process: psutil.Process | None) -> float:
    """Return the resident memory of the largest process, a worker."""
    sizes = [member.memory_info().rss for member in _family(process)]
    return max(sizes, default=0) / 2**20
