"""`python -m sre.lib.benching`: start each contender in turn, load it, print the table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from sre.lib.benching import table
from sre.lib.benching.load import Measurement, measure
from sre.lib.benching.marks import write_between
from sre.lib.benching.raw import measure_raw
from sre.lib.benching.servers import (
    HEALTH,
    MIRROR,
    UPLOAD,
    Running,
    World,
    WrongAnswerError,
)
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import temporary_postgres

ROUTES = {"health": HEALTH, "mirror": MIRROR, "upload-random": UPLOAD}
OURS = "mirrorsite"
RAW = "raw PUT into the store"
FLASK = "Flask original, gunicorn"
#: Budgets of the project: route, ours, theirs, at least so many times their rate.
BUDGETS = (
    ("upload-random", OURS, FLASK, 6.0),
    ("health", OURS, "FastAPI, uvicorn", 2.0),
    ("mirror", OURS, "FastAPI, uvicorn", 2.0),
)
#: More PUTs than the store takes in a second of a round.
RAW_A_SECOND = 8_000

Results = dict[str, dict[str, list[Measurement]]]


def main() -> int:
    arguments = _arguments()
    if shutil.which("wrk") is None:
        print("sre/bench needs wrk (Debian: apt-get install wrk).", file=sys.stderr)
        return 2
    results: Results = {route: defaultdict(list) for route in ROUTES}
    before = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="mirrorsite-bench-") as directory,
        temporary_postgres() as postgresql,
    ):
        store = ObjectStore(
            Path(directory) / "store", free_port(), "bench", secrets.token_hex(16)
        )
        store.start()
        world = World(
            store=store,
            directory=Path(directory),
            postgresql=postgresql,
            workers=arguments.workers,
            threads=arguments.threads,
            also=tuple(path.resolve() for path in arguments.also),
        )
        try:
            for number in range(arguments.rounds):
                _round(world, arguments, results, number)
        except WrongAnswerError as error:
            print(f"sre/bench could not go on: {error}", file=sys.stderr)
            return 1
        finally:
            store.kill()
    text = _document(arguments, results, time.monotonic() - before)
    print(json.dumps(_as_json(arguments, results)) if arguments.as_json else text)
    if arguments.write:
        write_between(arguments.write, "sre/bench", text)
    return 0 if not _errors(results) else 1


def _round(
    world: World, arguments: argparse.Namespace, results: Results, number: int
) -> None:
    """Measure every contender once; every other round in the opposite order."""
    contenders = list(world.contenders().items())
    if arguments.only:
        contenders = [c for c in contenders if arguments.only in c[0]]
    for name, start in reversed(contenders) if number % 2 else contenders:
        _say(f"round {number + 1} of {arguments.rounds}: {name} …")
        with start() as running:
            world.verify(running)
            for route in ROUTES:
                if arguments.route and route != arguments.route:
                    continue
                found = _measure(world, arguments, name, running, route)
                results[route][name].append(found)
                _say(f"  {route}: {found.rate:,.0f}/s, {found.errors} errors")
            world.verify(running)
    if arguments.route in {None, "upload-random"}:
        found = measure_raw(
            world,
            clients=arguments.clients,
            seconds=arguments.seconds,
            most=int(RAW_A_SECOND * arguments.seconds),
        )
        _say(f"  {RAW}: {found.rate:,.0f}/s")
        results["upload-random"][RAW].append(found)


def _measure(
    world: World,
    arguments: argparse.Namespace,
    name: str,
    running: Running,
    route: str,
) -> Measurement:
    url = running.url + ROUTES[route]
    is_upload = route == "upload-random"
    options: dict[str, Any] = {
        "clients": arguments.clients,
        "process": psutil.Process(running.pid),
        "environment": {"METHOD": "POST" if is_upload else "GET"},
    }
    measure(url, seconds=1, **options)  # warm
    before = world.count() if is_upload else 0
    found = measure(url, seconds=arguments.seconds, **options)
    # The original's objects overwrite each other: there is nothing to count.
    if is_upload and name.startswith(OURS):
        answered = round(found.rate * arguments.seconds)
        stored = world.count() - before
        # Requests that wrk no longer waited for are stored as well.
        if not 0.97 * answered <= stored <= 1.03 * answered + arguments.clients:
            raise WrongAnswerError(f"{answered} uploads were answered, {stored} stored")
    return found


def _document(arguments: argparse.Namespace, results: Results, seconds: float) -> str:
    loads = os.getloadavg()
    return "\n\n".join(
        [
            f"{datetime.now(UTC):%d %B %Y}, {os.cpu_count()} processors"
            f" ({_processor()}), Python {platform.python_version()}:"
            f" {arguments.rounds} rounds of {arguments.seconds:g} s,"
            f" {arguments.clients} clients, {arguments.workers} workers of"
            f" {arguments.threads} threads; {seconds / 60:.1f} minutes in all,"
            f" load average at the end {loads[2]:.1f}.",
            table.markdown(results),
            table.budgets(results, BUDGETS),
        ]
    )


def _as_json(arguments: argparse.Namespace, results: Results) -> dict[str, Any]:
    return {
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "clients": arguments.clients,
        "workers": arguments.workers,
        "threads": arguments.threads,
        "routes": table.summary(results),
    }


def _errors(results: Results) -> int:
    """Return the errors of our own; a peer's disqualify the peer."""
    return sum(
        found.errors
        for contenders in results.values()
        for name, measurements in contenders.items()
        if name.startswith(OURS)
        for found in measurements
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else "unknown"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sre/bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=16, choices=range(1, 65))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--route", choices=sorted(ROUTES))
    parser.add_argument("--only", help="contenders whose name holds this text")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--write", type=Path, help="a document with the two marks")
    parser.add_argument(
        "--also", type=Path, action="append", default=[], help="another checkout"
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
