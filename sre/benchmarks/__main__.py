"""`python -m sre.benchmarks`: run scenarios and print what they measured."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sre.benchmarks.admin import admin
from sre.benchmarks.bench import Bench
from sre.benchmarks.commands import audit, reconcile
from sre.benchmarks.contenders import WrongAnswerError, compare
from sre.benchmarks.growth import growth, payload
from sre.benchmarks.report import Report
from sre.lib.service import ROOT
from sre.lib.stack import temporary_stack


class Scenario(NamedTuple):
    run: Callable[[Bench], Report]
    what: str
    #: The default of --count.
    default_count: int = 0


PEERS = "beside the Flask original, FastAPI and other checkouts (--also)"
SCENARIOS = {
    "health": Scenario(partial(compare, "health"), f"GET /api/health {PEERS}"),
    "mirror": Scenario(partial(compare, "mirror"), f"GET /api/mirror {PEERS}"),
    "uploads": Scenario(partial(compare, "uploads"), f"POST /api/upload-random {PEERS}"),
    "payload": Scenario(payload, "4 B to 1 GiB, beside `aws s3 cp`; 3 GiB of disk a round"),
    "growth": Scenario(growth, "uploads into 1,000 and COUNT rows; size on disk", 1_000_000),
    "audit": Scenario(audit, "seal and verify COUNT uploads", 50_000),
    "reconcile": Scenario(reconcile, "COUNT objects, beside `aws s3 ls --recursive`", 200_000),
    "admin": Scenario(admin, "pages with 1,000 and with COUNT uploads", 1_000_000),
}  # fmt: skip


def main() -> int:
    arguments = _arguments()
    if arguments.list:
        for name, scenario in SCENARIOS.items():
            count = (
                f" (COUNT {scenario.default_count:,})" if scenario.default_count else ""
            )
            print(f"{name:10} {scenario.what}{count}")
        return 0
    if shutil.which("wrk") is None:
        print("sre/bench needs wrk (Debian: apt-get install wrk).", file=sys.stderr)
        return 2
    status = 0
    for name in arguments.scenarios or ["health", "mirror", "uploads"]:
        scenario = SCENARIOS[name]
        with temporary_stack() as stack:
            bench = Bench(
                stack=stack,
                rounds=arguments.rounds,
                seconds=arguments.seconds,
                clients=arguments.clients,
                workers=arguments.workers,
                threads=arguments.threads,
                count=arguments.count or scenario.default_count,
                also=tuple(path.resolve() for path in arguments.also),
                only=arguments.only,
            )
            try:
                report = scenario.run(bench)
            except WrongAnswerError as error:
                print(f"sre/bench {name}: {error}", file=sys.stderr)
                return 1
        text = f"{_circumstances(arguments)}\n\n{report.markdown()}"
        print(f"{text}\n", flush=True)
        if arguments.write:
            _write_between_marks(arguments.write, name, text)
        status = status or int(_is_disqualified(report))
    return status


def _is_disqualified(report: Report) -> bool:
    """Return True if a row of this service is disqualified; those of peers may be."""
    return any(
        not row.startswith(("Flask", "FastAPI"))
        for table in report.tables
        for row in table.disqualified
    )


def _circumstances(arguments: argparse.Namespace) -> str:
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return (
        f"{datetime.now(UTC):%d %B %Y}, commit {revision or 'unknown'},"
        f" {os.cpu_count()} processors ({_processor()}), Python"
        f" {platform.python_version()}: medians (least–most) of {arguments.rounds}"
        f" alternating rounds of {arguments.seconds:g} s, {arguments.clients} clients,"
        f" {arguments.workers} workers of {arguments.threads} threads; load average"
        f" {os.getloadavg()[2]:.1f}."
    )


def _processor() -> str:
    linux = Path("/proc/cpuinfo")
    found = linux.exists() and re.search("model name\\s*: (.*)", linux.read_text())
    return found[1] if found else platform.processor()


def _write_between_marks(path: Path, name: str, text: str) -> None:
    """Replace what is between two lines of a document; exit where they are missing."""
    begin, end = f"<!-- sre/bench {name} begins -->", f"<!-- sre/bench {name} ends -->"
    head, found, rest = path.read_text().partition(begin)
    _, ended, tail = rest.partition(end)
    if not (found and ended):
        sys.exit(f"sre/bench: {path} has no lines {begin} and {end}")
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sre/bench")
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=6)
    parser.add_argument("--count", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--also", type=Path, action="append", default=[])
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - SCENARIOS.keys():
        parser.error(f"no scenario {', '.join(sorted(unknown))}; see --list")
    return arguments


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
