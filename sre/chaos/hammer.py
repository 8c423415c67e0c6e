"""Start a service, break what it stands on under load, and check the promise."""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import time

import psycopg

from sre.chaos import promise
from sre.chaos.faults import FAULTS, Faults
from sre.lib import processes
from sre.lib.load import Load
from sre.lib.processes import StartError
from sre.lib.service import Service
from sre.lib.stack import Stack, temporary_stack
from uploads.audit.keys import SigningKey

#: Above this the service uploads in parts.
PART_BYTES = 8 * 1024 * 1024
RECOVERY_SECONDS = 90
#: When no new object has appeared for this long, the last requests of killed workers
#: have ended.
CALM_SECONDS = 3.0


class NoRecoveryError(AssertionError):
    """The service stored nothing again after a fault."""


def main() -> int:
    options = _arguments()
    key = SigningKey.generate()
    try:
        with temporary_stack() as stack:
            environment = stack.environment(
                LOG_FORMAT="text",
                LOG_LEVEL="ERROR",
                # All clients have one address, and are to meet the faults, not the limit.
                UPLOAD_RATE_LIMIT="off",
                AUDIT_SIGNING_KEY=key.secret_text(),
                AUDIT_PUBLIC_KEYS=key.public_text(),
            )
            with stack.service(environment) as service:
                return _hammer(options, stack, service, environment)
    except (StartError, psycopg.Error, subprocess.CalledProcessError) as error:
        _say(f"sre/hammer could not run: {error}")
        return 2


def _hammer(
    options: argparse.Namespace,
    stack: Stack,
    service: Service,
    environment: dict[str, str],
) -> int:
    chosen = random.Random(options.seed)  # noqa: S311 repeatable, not secret
    faults = Faults(service, stack.store, stack.postgres, chosen)
    load = Load(
        service.url,
        clients=options.clients,
        keep_alive=True,
        body=lambda: _body(chosen),
    )
    _say(f"{options.faults} faults, {options.clients} clients, seed {options.seed}")
    began = time.monotonic()
    load.start()
    try:
        for number in range(options.faults):
            _wait_for_uploads(load, chosen.randint(1, 4 * options.clients))
            _say(f"fault {number + 1} of {options.faults}: {faults.inject_next()}")
        _wait_for_uploads(load, 1)
    except NoRecoveryError as error:
        _say(f"FAIL: {error} {load.errors[-1:]}")
        return 1
    finally:
        load.stop()
    seconds = time.monotonic() - began
    os.environ.update(environment)
    import django

    django.setup()
    _wait_for_calm()
    _say(f"Checking {len(load.created):,} promised uploads …")
    found = {
        "seconds": round(seconds),
        "answers": dict(sorted(load.outcomes.items())),
        "faults": dict(sorted(faults.injected.items())),
        "slowest /api/health while the store was frozen, s": round(
            max(faults.health_seconds, default=0), 2
        ),
        **promise.check(load.created, environment),
    }
    found["held"] = promise.held(found)
    print(json.dumps(found, indent=2))
    if not found["held"]:
        _say(service.log.read_text(errors="replace")[-4000:])
    return 0 if found["held"] else 1


def _wait_for_uploads(load: Load, count: int) -> None:
    """Wait until the service stores again: the next fault is to hit it at work."""
    before = load.outcomes["201"]
    if not processes.wait_until(
        lambda: load.outcomes["201"] >= before + count, seconds=RECOVERY_SECONDS
    ):
        raise NoRecoveryError(
            f"no {count} uploads were stored within {RECOVERY_SECONDS} s;"
            f" answers so far: {dict(load.outcomes)}"
        )


def _wait_for_calm() -> None:
    """Wait until no more objects appear.

    Workers may have sent requests to the store before they were killed.
    """
    from uploads.services import PREFIX
    from uploads.storage import upload_storage

    seen = -1
    while (now := sum(1 for _ in upload_storage().listing(PREFIX))) != seen:
        seen = now
        time.sleep(CALM_SECONDS)


def _body(chosen: random.Random) -> bytes:
    """Return a request's body: mostly one number, some KiB, now and then two parts."""
    kind = chosen.random()
    if kind < 0.7:
        return b""
    size = chosen.randint(1, 100_000)
    if kind > 0.995:
        size += PART_BYTES
    return json.dumps({"size": size}).encode()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sre/hammer")
    parser.add_argument("--faults", type=int, default=4 * len(FAULTS))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
