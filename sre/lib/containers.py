"""A container engine, podman or docker, and how an image of this project is run by it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any


class EngineError(RuntimeError):
    """The engine did not do what it was told; the text holds its last words."""


@dataclass(frozen=True)
class Engine:
    """podman or docker, and one image."""

    program: str
    image: str

    def call(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [self.program, *arguments], capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise EngineError(
                f"{self.program} {' '.join(arguments[:2])} ended with"
                f" {done.returncode}: {done.stderr.strip()[-2000:]}"
            )
        return done.stdout.strip()

    def inspect(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads(
            self.call("image", "inspect", self.image)
        )
        return found[0]

    def run(self, environment: dict[str, str], *command: str, name: str) -> str:
        """Run a command as strictly as a restricted pod; no command: the image's own."""
        return self.call(
            "run",
            *(("--detach",) if not command else ("--rm",)),
            f"--name={name}",
            "--network=host",
            "--read-only",
            *(("--read-only-tmpfs=false",) if self.program == "podman" else ()),
            "--tmpfs=/tmp:rw,size=64m,mode=1777",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=4096:4096",
            "--no-healthcheck",
            *(f"--env={key}={value}" for key, value in environment.items()),
            self.image,
            *command,
        )

    def end(self, name: str, *, seconds: int = 60) -> int:
        """Send SIGTERM, as a cluster does; return the exit status."""
        self.call("stop", f"--time={seconds}", name)
        status = int(self.call("wait", name))
        self.remove(name)
        return status

    def remove(self, name: str) -> None:
        """End and forget a container, whatever state it is in."""
        self.call("rm", "--force", name, check=False)
