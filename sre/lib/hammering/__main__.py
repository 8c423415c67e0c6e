"""Start a service, hammer it, judge it: `python -m sre.lib.hammering`."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import secrets
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sre.lib import processes
from sre.lib.hammering import promise
from sre.lib.hammering.faults import Faults
from sre.lib.hammering.load import Load
from sre.lib.hammering.promise import CommandBrokenError, Verdict
from sre.lib.object_store import ObjectStore, ObjectStoreError
from sre.lib.ports import free_port
from sre.lib.postgres import Postgres, PostgresError, temporary_server
from sre.lib.service import Service, ServiceError

BUCKET = "mirrorsite-hammer"


def main() -> int:
    arguments = _arguments()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="mirrorsite-hammer-") as directory,
            temporary_server() as database,
        ):
            return _hammer(arguments, Path(directory), database)
    except (ServiceError, ObjectStoreError, PostgresError, CommandBrokenError) as error:
        _say(f"sre/hammer could not run: {error}")
        return 2


def _hammer(arguments: argparse.Namespace, directory: Path, database: Postgres) -> int:
    store = ObjectStore(
        directory / "store", free_port(), "hammer", secrets.token_hex(16)
    )
    environment = {
        **os.environ,
        **store.environment(BUCKET),
        **_audit_keys(),
        "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
        "DATABASE_URL": database.url,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "HTTPS_ONLY": "false",
        "LOG_FORMAT": "text",
        "LOG_LEVEL": "ERROR",
        # All clients have one address, and are to meet the faults, not the limit.
        "UPLOAD_RATE_LIMIT": "off",
        "STATIC_ROOT": str(directory / "static"),
    }
    (directory / "static").mkdir()
    service = Service(environment, log=directory / "service.log")
    try:
        store.start()
        for command in (("migrate", "--verbosity=0"), ("ensure_bucket",)):
            done = promise.manage(environment, *command)
            if done.returncode:
                raise CommandBrokenError(done.stderr)
        service.start()
        faults = Faults(service, store, database, arguments.seed)
        load = _run(service, faults, arguments)
        _say("Waiting for calm …")
        _set_up_django(environment)
        _wait_for_calm(service)
        _say(f"Checking {len(load.promised):,} promised uploads …")
        verdict = promise.check(load.promised, environment)
    except ServiceError:
        # The error names the log, which goes with its directory.
        _say(_end_of(service.log))
        raise
    finally:
        service.stop()
        store.stop()
    enough = sum(faults.injected.values()) >= arguments.least_faults
    if arguments.as_json:
        print(json.dumps(_as_json(arguments, load, faults, verdict)))
    else:
        print(_table(arguments, load, faults, verdict))
    if not verdict.held:
        _say(f"THE PROMISE DID NOT HOLD: {_as_json(arguments, load, faults, verdict)}")
        _say(_end_of(service.log))
    return 0 if verdict.held and enough else 1


def _run(service: Service, faults: Faults, arguments: argparse.Namespace) -> Load:
    load = Load(service.port, arguments.clients, arguments.seed)
    _say(
        f"Hammering {service.url} for {arguments.seconds} s"
        f" with {arguments.clients} clients, seed {arguments.seed} …"
    )
    deadline = time.monotonic() + arguments.seconds
    load.start()
    try:
        while (left := deadline - time.monotonic()) > 0:
            # Faults are to hit a service at work, not one that is down already.
            stored = load.answers["201"]
            processes.wait_until(
                partial(_stores_again, load, stored), seconds=min(left, 4)
            )
            time.sleep(min(faults.pause_seconds(), max(0, deadline - time.monotonic())))
            if time.monotonic() < deadline:
                faults.inject_next()
                _progress(load, faults, max(0, deadline - time.monotonic()))
    finally:
        load.stop()
    return load


def _stores_again(load: Load, before: int) -> bool:
    return load.answers["201"] > before + load.clients // 2


def _wait_for_calm(service: Service) -> None:
    """Wait until the service answers and nothing arrives in the bucket any more.

    A worker that was killed may have sent a request that the store still carries out.
    """
    from uploads.services import PREFIX
    from uploads.storage import upload_storage

    if not processes.wait_until(service.answers, seconds=60):
        raise ServiceError("the service does not answer after the last fault.")
    seen = -1
    unchanged_since = time.monotonic()

    def calm() -> bool:
        nonlocal seen, unchanged_since
        now = sum(1 for _ in upload_storage().listing(PREFIX))
        if now != seen:
            seen, unchanged_since = now, time.monotonic()
        return time.monotonic() - unchanged_since > 3

    if not processes.wait_until(calm, seconds=120):
        raise ServiceError("objects still arrive two minutes after the last request.")


def _end_of(log: Path) -> str:
    return "".join(log.open(errors="replace").readlines()[-40:])


def _set_up_django(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    import django

    django.setup()


def _audit_keys() -> dict[str, str]:
    """Return a new Ed25519 key to seal with, and its public half to trust."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    key_id = hashlib.sha256(public).hexdigest()[:16]
    return {
        "AUDIT_SIGNING_KEY": base64.b64encode(private.private_bytes_raw()).decode(),
        "AUDIT_PUBLIC_KEYS": f"{key_id}:{base64.b64encode(public).decode()}",
    }


def _as_json(
    arguments: argparse.Namespace, load: Load, faults: Faults, verdict: Verdict
) -> dict[str, Any]:
    return {
        "seconds": arguments.seconds,
        "clients": arguments.clients,
        "seed": arguments.seed,
        "requests": load.answers.total(),
        "answers": dict(sorted(load.answers.items())),
        "faults": dict(sorted(faults.injected.items())),
        "held": verdict.held,
        **asdict(verdict),
        "lost": len(verdict.lost),
        "lost_keys": verdict.lost[:20],
        "slowest_health_seconds_store_frozen": max(faults.health_seconds, default=None),
    }


def _table(
    arguments: argparse.Namespace, load: Load, faults: Faults, verdict: Verdict
) -> str:
    rows: list[tuple[str, int | str]] = [("requests", load.answers.total())]
    for answer, count in sorted(load.answers.items()):
        name = answer if answer == "no answer" else f"answered {answer}"
        rows.append((f"  {name}", count))
    rows.append(("faults injected", faults.injected.total()))
    rows += [(f"  {kind}", count) for kind, count in sorted(faults.injected.items())]
    rows.append(("left behind, settled", sum(verdict.left_behind.values())))
    rows += [(f"  {word}", n) for word, n in sorted(verdict.left_behind.items())]
    rows += [
        ("201 with its object and that SHA-256", verdict.kept),
        ("objects without record", verdict.objects_without_record),
        ("records untrue before repair", sum(verdict.untruthful.values())),
        ("status other than the last event's", verdict.status_not_of_last_event),
        ("differences after repair", sum(verdict.left_after_repair.values())),
        ("audit", verdict.audit),
        ("lost", len(verdict.lost)),
    ]
    if faults.health_seconds:
        slowest = max(faults.health_seconds) * 1000
        rows.append(("slowest /api/health, store frozen", f"{slowest:.0f} ms"))
    title = f"{arguments.seconds} s, {arguments.clients} clients, seed {arguments.seed}"
    lines = [f"{name:<40}{_shown(value):>10}" for name, value in rows]
    return "\n".join([title, "-" * 50, *lines])


def _shown(value: int | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sre/hammer")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--clients", type=int, default=16, choices=range(1, 65))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--least-faults", type=int, default=1)
    parser.add_argument("--json", action="store_true", dest="as_json")
    return parser.parse_args()


def _progress(load: Load, faults: Faults, left: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(
            f"\r\033[K{load.answers.total():,} requests,"
            f" {faults.injected.total()} faults, {left:.0f} s left "
        )
        sys.stderr.flush()


def _say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
