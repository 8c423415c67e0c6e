"""The service beside its peers: health, mirror and uploads under wrk."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sre.benchmarks.bench import Bench, say
from sre.benchmarks.report import Budget, Report, Table
from sre.benchmarks.wrk import COLUMNS, Measurement
from sre.lib import processes
from sre.lib.ports import free_port, is_listening
from sre.lib.service import ROOT

PEERS = Path(__file__).parent / "peers"
PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
ROUTES = {
    "health": ("GET", "/api/health"),
    "mirror": ("GET", "/api/mirror?word=fOoBar25"),
    "uploads": ("POST", "/api/upload-random"),
}
OURS = "mirrorsite"
FLASK = "Flask original, gunicorn"
FASTAPI = "FastAPI, uvicorn"


class WrongAnswerError(RuntimeError):
    """A contender did not do what it answered: its figures would mean nothing."""


@dataclass(frozen=True)
class Running:
    """A contender that listens, and the bucket it uploads to."""

    url: str
    pid: int
    bucket: str


Start = Callable[[], AbstractContextManager[Running]]


def compare(route: str, bench: Bench) -> Report:
    """Measure each contender in each round."""
    table = Table(route, COLUMNS)
    contenders = _contenders(bench)
    chosen = [(name, start) for name, start in contenders if bench.only in name]
    for name, start in bench.interleaved(chosen):
        with start() as running:
            _verify(bench, running)
            method, path = ROUTES[route]
            warm_up, found = bench.measure(running.url + path, running.pid, method)
        table.add_measured(name, found)
        if route == "uploads" and name.startswith(OURS):
            _compare_with_bucket(bench, running, (warm_up, found))
        rate = found.figures[COLUMNS.index("requests/s")]
        say(f"  {name}: {rate:,.0f}/s, {found.errors} errors")
    return Report([table], _budgets(table, bench))


def _budgets(table: Table, bench: Bench) -> list[Budget]:
    def ratio(column: str, theirs: str) -> float | None:
        return table.ratio(column, OURS, theirs)

    if table.title != "uploads":
        return [Budget(f"{OURS} / {FASTAPI}", ratio("requests/s", FASTAPI), 2)]
    budgets = [Budget(f"{OURS} / {FLASK}", ratio("requests/s", FLASK), 6)]
    for name in (f"{OURS} of {checkout.name}" for checkout in bench.also):
        budgets += [
            Budget(f"{OURS} / {name}", ratio("requests/s", name), 1.2),
            Budget(
                f"CPU, {OURS} / {name}",
                ratio("CPU ms/request", name),
                0.8,
                is_maximum=True,
            ),
        ]
    return budgets


# --- Starting ----------------------------------------------------------------------------


def _contenders(bench: Bench) -> list[tuple[str, Start]]:
    server = [f"--workers={bench.workers}"]
    gunicorn = [
        "gunicorn", "--bind=127.0.0.1:{port}", "--worker-class=gthread",
        f"--threads={bench.threads}", "--keep-alive=75", "--access-logfile=-",
    ]  # fmt: skip
    uvicorn = ["uvicorn", "--host=127.0.0.1", "--port={port}"]
    checkouts = {f"{OURS} of {tree.name}": tree for tree in bench.also}
    return [
        (OURS, partial(_mirrorsite, bench, OURS, ROOT)),
        *(
            (name, partial(_mirrorsite, bench, name, tree))
            for name, tree in checkouts.items()
        ),
        (FLASK, partial(_peer, bench, [*gunicorn, *server, "flask_app:app"])),
        (FASTAPI, partial(_peer, bench, [*uvicorn, *server, "fastapi_app:app"])),
    ]


@contextmanager
def _mirrorsite(bench: Bench, name: str, root: Path) -> Iterator[Running]:
    environment = bench.environment(name)
    with bench.stack.service(environment, root=root) as service:
        yield Running(service.url, service.pid, environment["AWS_STORAGE_BUCKET_NAME"])


@contextmanager
def _peer(bench: Bench, command: list[str]) -> Iterator[Running]:
    """Start a module of the peers' environment, in whose command {port} is its port."""
    port = free_port()
    bucket = bench.new_bucket()
    log = bench.stack.directory / f"{command[0]}.log"
    process = processes.start(
        [str(PEERS_PYTHON), "-m", *(word.format(port=port) for word in command)],
        environment={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(PEERS),
            **bench.stack.store.environment(bucket),
        },
        cwd=PEERS,
        log=log,
    )
    try:
        if not processes.wait_until(
            lambda: is_listening(port), seconds=60, process=process
        ):
            raise WrongAnswerError(f"{command[0]} did not start: {log.read_text()}")
        yield Running(f"http://127.0.0.1:{port}", process.pid, bucket)
    finally:
        processes.stop(process)


# --- Verifying ---------------------------------------------------------------------------


def _verify(bench: Bench, running: Running) -> None:
    """Compare each route's answer with what it must be; raises `WrongAnswerError`."""
    health, mirror, upload = (_ask(running.url, *ROUTES[route]) for route in ROUTES)
    found = health, mirror, upload["uploaded"], len(bench.objects(running.bucket))
    wanted = {"status": "ok"}, {"transformed": "47RAbOoF"}, "ok", 1
    if found != wanted:
        raise WrongAnswerError(f"answers and objects are {found}, not {wanted}")


def _compare_with_bucket(
    bench: Bench, running: Running, runs: tuple[Measurement, ...]
) -> None:
    """Compare answers and objects; wrk leaves requests unanswered at its end."""
    by_verify = 1  # upload
    answered = by_verify + sum(run.requests - run.errors for run in runs)
    stored = len(bench.objects(running.bucket))
    if not answered <= stored <= answered + bench.clients * len(runs):
        raise WrongAnswerError(f"{answered} uploads were answered, {stored} stored")


def _ask(url: str, method: str, path: str) -> dict[str, Any]:
    request = urllib.request.Request(url + path, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        decoded: dict[str, Any] = json.load(answer)
    return decoded
