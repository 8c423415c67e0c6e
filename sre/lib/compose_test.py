"""Start the services of compose.yaml with podman, in their order, and check them.

They share one network namespace that has a loopback interface alone, so that nothing is
published and nothing else is reached. Started by sre/image --compose with the image's name.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from sre.lib.image_test import LIMITS, Engine, ImageError, expect
from sre.lib.processes import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: The service that the others share the network namespace of.
FIRST = next(iter(SERVICES))
PROJECT = f"mirrorsite-compose-{secrets.token_hex(4)}"


def image(engine: Engine, service: str) -> str:
    named: str = SERVICES[service]["image"]
    return engine.image if named == "mirrorsite:compose" else named


def options(engine: Engine, service: str) -> list[str]:
    """Return podman's options for what compose.yaml says of a service."""
    given = SERVICES[service]
    network = "none"
    if service != FIRST:
        pid = engine.call("inspect", "--format={{.State.Pid}}", f"{PROJECT}-{FIRST}")
        network = f"ns:/proc/{pid}/ns/net"
    read_only = ["--read-only", "--read-only-tmpfs=false"]
    return [
        f"--network={network}",
        *(f"--add-host={it}:127.0.0.1" for it in SERVICES),
        *LIMITS,
        *(
            # The value that holds where the caller's environment has none.
            f"--env={name}=" + re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
            for name, value in given["environment"].items()
        ),
        *(f"--volume={PROJECT}-{it}" for it in given.get("volumes", [])),
        *(f"--tmpfs={it}" for it in given.get("tmpfs", [])),
        *(f"--cap-drop={it}" for it in given.get("cap_drop", [])),
        *(f"--security-opt={it}" for it in given.get("security_opt", [])),
        *(read_only if given.get("read_only") else []),
    ]


def start(engine: Engine, service: str) -> None:
    """Start a service once what it depends on is healthy or has completed."""
    for needed, wanted in SERVICES[service].get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            healthy(engine, needed, SERVICES[needed]["healthcheck"]["test"][1:])
        else:
            status = engine.call("wait", f"{PROJECT}-{needed}")
            expect(f"{needed} completed for {service}", status == "0")
    engine.call(
        "run",
        "--detach",
        f"--name={PROJECT}-{service}",
        *options(engine, service),
        image(engine, service),
        *SERVICES[service].get("command", []),
    )


def healthy(engine: Engine, service: str, command: list[str]) -> None:
    def is_healthy() -> bool:
        try:
            engine.call("exec", f"{PROJECT}-{service}", *command)
        except ImageError:
            return False
        return True

    expect(f"{service} is healthy", wait_until(is_healthy, seconds=60))


def check(engine: Engine) -> None:
    for service in SERVICES:
        start(engine, service)
    healthy(engine, "web", ["python", "-m", "mirrorsite.container_health"])
    smoke = ["python", "-c", (ROOT / "sre/lib/smoke.py").read_text()]
    said = engine.call("exec", f"{PROJECT}-web", *smoke, "http://127.0.0.1:4545")
    expect(f"smoke: {said.splitlines()[-1]}", " 0 failed" in said)
    sealed = wait_until(
        lambda: "seal 1: " in engine.call("logs", f"{PROJECT}-sealer"), seconds=90
    )
    expect("the sealer seals", sealed)


def main(name: str) -> int:
    engine = Engine("podman", name)
    for needed in {image(engine, service) for service in SERVICES}:
        try:
            engine.call("create", "--pull=missing", f"--name={PROJECT}", needed)
            engine.remove(PROJECT)
        except ImageError as error:
            print(f"SKIPPED: compose.yaml: no image {needed}: {error}")
            return 77
    try:
        check(engine)
    except ImageError as error:
        print(f"FAIL  {error}")
        for service in SERVICES:
            print(f"--- {service}", flush=True)
            command = ["podman", "logs", "--tail=10", f"{PROJECT}-{service}"]
            subprocess.run(command, check=False)
        return 1
    finally:
        for service in reversed(SERVICES):
            engine.remove(f"{PROJECT}-{service}")
        for volume in COMPOSE["volumes"]:
            engine.call("volume", "rm", "--force", f"{PROJECT}-{volume}", check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
