"""Rates of sealing and verifying, and the latency of uploads beside a sealer.

`python -m sre.lib.audit_bench` starts what it needs and then runs itself with
`--measure` in the environment of the service.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sre.lib import processes
from sre.lib.object_store import ObjectStore
from sre.lib.ports import free_port
from sre.lib.postgres import temporary_postgres

ROOT = Path(__file__).resolve().parent.parent.parent
THREADS = 4
ROUNDS = 6
#: How often the sealer seals while the uploads are timed.
SEALS_A_ROUND = 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.events, options.seconds)))
        return
    with (
        tempfile.TemporaryDirectory(prefix="mirrorsite-bench-") as directory,
        temporary_postgres() as url,
    ):
        store = ObjectStore(
            Path(directory) / "store", free_port(), "bench-key", "bench-secret"
        )
        store.start()
        try:
            result = _run(url, store, options)
        finally:
            store.kill()
    _print(result, options.events)


def _run(url: str, store: ObjectStore, options: argparse.Namespace) -> dict[str, Any]:
    environment = {
        **os.environ,
        **store.environment("bench"),
        "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
        "DATABASE_URL": url,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "AUDIT_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "LOG_LEVEL": "WARNING",
    }
    done = subprocess.run(
        [
            sys.executable, "-m", "sre.lib.audit_bench", "--measure",
            f"--events={options.events}", f"--seconds={options.seconds}",
        ],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(events: int, seconds: float) -> dict[str, Any]:
    """Measure on the database and bucket of the environment; both are empty."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("ensure_bucket", stdout=sys.stderr)
    result = {"memory_before": _peak_mib()} | _sealing(events)
    result |= _beside_a_sealer(seconds, rate=None)
    # At half the pace the processors have time to spare, as they should in service.
    paced = _beside_a_sealer(seconds, rate=result["without"]["rate"] / 2)
    return result | {f"{name} at half": seen for name, seen in paced.items()}


def _beside_a_sealer(seconds: float, *, rate: float | None) -> dict[str, Any]:
    """Upload without and with a sealer; at `rate` a second, or as fast as it goes."""
    times: dict[str, list[float]] = {"without": [], "beside": []}
    # In turns, and each as often first, so that whatever else the machine does, and
    # the growth of the tables, falls on both.
    for number in range(ROUNDS):
        if number % 2 == 0:
            times["without"] += _upload(seconds, rate)
        with _sealer(seconds / SEALS_A_ROUND):
            times["beside"] += _upload(seconds, rate)
        if number % 2:
            times["without"] += _upload(seconds, rate)
    return {
        name: {
            "rate": len(taken) / (ROUNDS * seconds),
            "p50": statistics.median(taken) * 1000,
            "p99": statistics.quantiles(taken, n=100)[98] * 1000,
        }
        for name, taken in times.items()
    }


def _sealing(events: int) -> dict[str, Any]:
    from uploads.audit.seals import seal_audit
    from uploads.audit.verification import verify_audit

    _fill(events // 2)
    result: dict[str, Any] = {"memory_filled": _peak_mib()}
    with _timed(result, "seal"):
        made = seal_audit()
    result["seals"] = len(made)
    result["memory_sealed"] = _peak_mib()
    with _timed(result, "verify"):
        report = verify_audit()
    result["memory_verified"] = _peak_mib()
    if not report.is_clean or report.events != events:
        raise RuntimeError(f"the trail is not as it was made: {report.as_json()}")
    return result


@contextmanager
def _timed(result: dict[str, Any], word: str) -> Iterator[None]:
    """Note elapsed seconds, and the processor's, which a busy machine leaves alone."""
    begun, used = time.perf_counter(), time.process_time()
    yield
    result[f"{word}_seconds"] = time.perf_counter() - begun
    result[f"{word}_cpu"] = time.process_time() - used


def _fill(count: int) -> None:
    """Insert uploads with the two events that each has."""
    from tests.uploads.audit.trails import add_uploads

    for start in range(0, count, 1000):
        add_uploads(min(1000, count - start))


def _upload(seconds: float, rate: float | None) -> list[float]:
    """Upload in threads for a while; return how long each upload took, in seconds."""
    from django.db import connection

    from mirrorsite.actors import Actor
    from uploads.services import create_upload

    times: list[float] = []
    errors: list[Exception] = []
    start = time.perf_counter()
    until = start + seconds

    def work(number: int) -> None:
        actor = Actor(name="anonymous", address="192.0.2.7")
        # The threads' turns are spread over the interval.
        interval = 0.0 if rate is None else THREADS / rate
        due = start + interval * number / THREADS
        try:
            while (begun := time.perf_counter()) < until:
                if begun < due:
                    time.sleep(due - begun)
                    begun = time.perf_counter()
                due += interval
                create_upload(actor=actor)
                times.append(time.perf_counter() - begun)
        except Exception as error:  # noqa: BLE001 raised again below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
    return times


@contextmanager
def _sealer(every: float) -> Iterator[None]:
    """Run a sealer, `every` in seconds; its start, and what has gathered meanwhile, is not measured."""
    from uploads.models import AuditSeal

    before = AuditSeal.objects.count()
    sealer = processes.start(
        [
            sys.executable,
            "manage.py",
            "seal_audit",
            f"--every={every}",
            "--verbosity=0",
        ],
        cwd=ROOT,
    )
    try:
        processes.wait_until(
            lambda: AuditSeal.objects.count() > before, seconds=60, process=sealer
        )
        yield
    finally:
        processes.stop(sealer)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _print(result: dict[str, Any], events: int) -> None:
    print(f"| {events:,} events | |")
    print("| --- | ---: |")
    for word in ("seal", "verify"):
        seconds, cpu = result[f"{word}_seconds"], result[f"{word}_cpu"]
        rate = events / seconds
        print(f"| {word} | {seconds:.1f} s ({cpu:.1f} s of CPU), {rate:,.0f}/s |")
    print(f"| seals | {result['seals']} |")
    peaks = [result[f"memory_{when}"] for when in ("filled", "sealed", "verified")]
    print(
        "| memory, peak after filling, sealing, verifying |"
        f" {', '.join(f'{peak:.0f}' for peak in peaks)} MiB |"
    )
    for name, words in (
        ("without", "without a sealer"),
        ("beside", "beside a sealer"),
        ("without at half", "at half that rate, without a sealer"),
        ("beside at half", "at half that rate, beside a sealer"),
    ):
        seen = result[name]
        print(
            f"| uploads by {THREADS} threads {words} |"
            f" {seen['rate']:.0f}/s, p50 {seen['p50']:.1f} ms,"
            f" p99 {seen['p99']:.1f} ms |"
        )


if __name__ == "__main__":
    main()
