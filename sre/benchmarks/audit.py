"""Rates of sealing and verifying, and uploads beside a sealer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import psycopg

from sre.benchmarks.bench import Bench, fill, manage, say
from sre.benchmarks.report import Report, Table
from sre.benchmarks.wrk import COLUMNS
from sre.lib import processes
from sre.lib.service import ROOT
from uploads.audit.keys import SigningKey

#: How often the sealer seals while uploads are measured; a seal a minute in service.
SEALS = 2


def audit(bench: Bench) -> Report:
    """Seal and verify a filled trail; then upload without and beside a sealer."""
    key = SigningKey.generate()
    commands = Table(
        f"{bench.count:,} uploads", ("events/s", "seconds", "CPU s", "peak MiB")
    )
    for number in range(bench.rounds):
        say(f"filling {bench.count:,} uploads, round {number + 1}")
        environment = bench.environment(
            f"audit-{number}",
            AUDIT_SIGNING_KEY=key.secret_text(),
            AUDIT_PUBLIC_KEYS=key.public_text(),
        )
        fill(environment, str(bench.count))
        events = _count(environment, "uploads_uploadevent")
        for command in ("seal_audit", "verify_audit"):
            found = manage(environment, command)
            commands.add(command, events / found[0], *found)
    uploads = Table("uploads", COLUMNS)
    environment = bench.environment("uploads", AUDIT_PUBLIC_KEYS=key.public_text())
    sealing = {**environment, "AUDIT_SIGNING_KEY": key.secret_text()}
    with bench.stack.service(environment) as service:
        for name in bench.in_turns(["without a sealer", "beside a sealer"]):
            beside = name == "beside a sealer"
            every = bench.seconds / SEALS
            with _sealer(sealing, every) if beside else nullcontext():
                figures = bench.measure_uploads(service).figures
            uploads.add(name, *figures)
            say(f"  {name}: {figures[0]:,.0f}/s")
    return Report([commands, uploads])


@contextmanager
def _sealer(environment: dict[str, str], every: float) -> Iterator[None]:
    """Run a sealer, `every` in seconds; what was there before is sealed first."""
    before = _count(environment, "uploads_auditseal")
    sealer = processes.start(
        [sys.executable, "manage.py", "seal_audit", f"--every={every}", "-v0"],
        environment=environment,
        cwd=ROOT,
    )
    try:
        if not processes.wait_until(
            lambda: _count(environment, "uploads_auditseal") > before,
            seconds=120,
            process=sealer,
        ):
            raise RuntimeError("the sealer sealed nothing")
        yield
    finally:
        processes.stop(sealer)


def _count(environment: dict[str, str], table: str) -> int:
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 ours
    return int(row[0]) if row else 0
