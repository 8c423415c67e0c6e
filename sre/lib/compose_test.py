"""Start the services of compose.yaml with podman, in their order, and check them.

They share one network namespace that has a loopback interface alone, so that nothing is
published and nothing else is reached. Started by sre/image --compose with the image's name.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sre.lib.image_test import Engine, EngineError, ImageFaultError, expect
from sre.lib.processes import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: The service that the others share the network namespace of.
FIRST = next(iter(SERVICES))
SMOKE = ROOT / "sre" / "lib" / "smoke.py"


@dataclass(frozen=True)
class Project:
    """The containers of one run; `engine.image` is the image of ours."""

    engine: Engine
    name: str

    def image(self, service: str) -> str:
        named: str = SERVICES[service]["image"]
        return self.engine.image if named == "mirrorsite:compose" else named

    def options(self, service: str) -> list[str]:
        """Return podman's options for what compose.yaml says of a service."""
        given = SERVICES[service]
        environment = {
            name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
            for name, value in given["environment"].items()
        }
        network = "none" if service == FIRST else f"ns:/proc/{self.pid()}/ns/net"
        return [
            f"--network={network}",
            *(f"--add-host={it}:127.0.0.1" for it in SERVICES),
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=4096:4096",
            "--no-healthcheck",
            *(f"--env={name}={value}" for name, value in environment.items()),
            *(f"--volume={self.name}-{it}" for it in given.get("volumes", [])),
            *(f"--tmpfs={it}" for it in given.get("tmpfs", [])),
            *(f"--cap-drop={it}" for it in given.get("cap_drop", [])),
            *(f"--security-opt={it}" for it in given.get("security_opt", [])),
            *(
                ["--read-only", "--read-only-tmpfs=false"]
                if given.get("read_only")
                else []
            ),
        ]

    def pid(self) -> str:
        """Return the process whose network namespace the others join."""
        return self.engine.call(
            "inspect", "--format={{.State.Pid}}", f"{self.name}-{FIRST}"
        )

    def start(self, service: str) -> None:
        """Start a service once what it depends on is healthy or has completed."""
        for needed, wanted in SERVICES[service].get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                self.healthy(needed, SERVICES[needed]["healthcheck"]["test"][1:])
            else:
                status = self.engine.call("wait", f"{self.name}-{needed}")
                expect(f"{needed} completed for {service}", status == "0")
        self.engine.call(
            "run",
            "--detach",
            f"--name={self.name}-{service}",
            *self.options(service),
            self.image(service),
            *SERVICES[service].get("command", []),
        )

    def healthy(self, service: str, command: list[str]) -> None:
        def answers() -> bool:
            try:
                self.execute(service, *command)
            except EngineError:
                return False
            return True

        expect(f"{service} is healthy", wait_until(answers, seconds=60))

    def execute(self, service: str, *command: str) -> str:
        return self.engine.call("exec", f"{self.name}-{service}", *command)

    def remove(self) -> None:
        for service in reversed(SERVICES):
            self.engine.remove(f"{self.name}-{service}")
        for volume in COMPOSE["volumes"]:
            name = f"{self.name}-{volume}"
            self.engine.call("volume", "rm", "--force", name, check=False)


def check(project: Project) -> None:
    for service in SERVICES:
        project.start(service)
    project.healthy("web", ["python", "-m", "mirrorsite.container_health"])
    url = "http://127.0.0.1:4545"
    said = project.execute("web", "python", "-c", SMOKE.read_text(), url)
    expect(f"smoke: {said.splitlines()[-1]}", " 0 failed" in said)
    sealer = f"{project.name}-sealer"
    sealed = wait_until(
        lambda: "seal 1: " in project.engine.call("logs", sealer), seconds=90
    )
    expect("the sealer seals", sealed)


def main(arguments: list[str]) -> int:
    engine = Engine("podman", *arguments)
    project = Project(engine, f"mirrorsite-compose-{secrets.token_hex(4)}")
    for image in {project.image(service) for service in SERVICES}:
        try:
            engine.call("create", "--pull=missing", f"--name={project.name}", image)
            engine.remove(project.name)
        except EngineError as error:
            print(f"SKIPPED: compose.yaml: no image {image}: {error}")
            return 77
    try:
        check(project)
    except (ImageFaultError, EngineError) as error:
        print(f"FAIL  {error}")
        for service in SERVICES:
            print(f"--- {service}")
            command = ["podman", "logs", "--tail=10", f"{project.name}-{service}"]
            subprocess.run(command, check=False)
        return 1
    finally:
        project.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
