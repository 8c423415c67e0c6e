"""One measurement: wrk against an address, and what the server's processes used."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

SCRIPT = Path(__file__).with_name("wrk.lua")
#: The figures of a measurement, as a table shows them.
COLUMNS = ("requests/s", "p50 ms", "p99 ms", "max ms", "CPU ms/request", "MiB/worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run of wrk saw; the figures are those of `COLUMNS`."""

    requests: int
    errors: int
    figures: tuple[float, ...]


def measure(
    url: str, *, method: str, clients: int, seconds: float, pid: int
) -> Measurement:
    """Load `url` over as many connections as clients; raises `CalledProcessError`.

    `pid` is the server's first process; its children count as well.
    """
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    before = _cpu_seconds(family)
    done = subprocess.run(
        [
            "wrk",
            "--threads=2",
            f"--connections={clients}",
            f"--duration={seconds:g}s",
            "--timeout=30s",
            f"--script={SCRIPT}",
            url,
        ],
        env=os.environ | {"METHOD": method, "CLIENTS": str(clients)},
        capture_output=True,
        text=True,
        check=True,
    )
    cpu = _cpu_seconds(family) - before
    seen = json.loads(done.stdout.splitlines()[-1])
    requests = seen["requests"]
    return Measurement(
        requests=requests,
        # A run without any answer has failed, even if wrk counts no error.
        errors=seen["errors"] if requests else max(1, seen["errors"]),
        figures=(
            requests / (seen["microseconds"] / 1e6),
            seen["p50"] / 1e3,
            seen["p99"] / 1e3,
            seen["most"] / 1e3,
            cpu / max(1, requests) * 1000,
            max(member.memory_info().rss for member in family) / 2**20,
        ),
    )


def _cpu_seconds(family: list[psutil.Process]) -> float:
    times = [member.cpu_times() for member in family]
    return sum(time.user + time.system for time in times)
