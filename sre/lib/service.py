"""The web service under gunicorn on a free port, for tests and scripts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sre.lib import processes
from sre.lib.ports import answers, free_port
from sre.lib.processes import StartError

ROOT = Path(__file__).resolve().parent.parent.parent
GUNICORN = ("-m", "gunicorn", "--config", "python:mirrorsite.gunicorn_conf")


def python_of(root: Path) -> str:
    """Return the Python of a checkout: another one may have an environment of its own."""
    own = root / ".venv/bin/python"
    return str(own) if root != ROOT and own.exists() else sys.executable


@dataclass
class Service:
    """One gunicorn with the given environment; its output goes to `log`."""

    environment: Mapping[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    #: The checkout it runs from.
    root: Path = ROOT

    @property
    def pid(self) -> int:
        """Return the process ID of the running gunicorn, parent of the workers."""
        assert self.process is not None  # noqa: S101 it was started
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until /api/health answers; raises `StartError`."""
        self.process = processes.start(
            [python_of(self.root), *GUNICORN],
            environment={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "mirrorsite.settings",
                "HTTPS_ONLY": "false",
                "METRICS_BIND": "off",
                **self.environment,
                "BIND": f"127.0.0.1:{self.port}",
            },
            cwd=self.root,
            log=self.log,
        )
        if not processes.wait_until(self.answers, seconds=120, process=self.process):
            self.stop()
            raise StartError(f"the service did not start; see {self.log}")

    def stop(self) -> None:
        if self.process is not None:
            processes.stop(self.process)
            self.process = None

    def kill(self) -> None:
        """End it at once, without waiting for its requests."""
        if self.process is not None:
            processes.stop(self.process, seconds=0)
            self.process = None

    def health_seconds(self) -> float:
        """Return how long /api/health takes; a minute if it does not answer."""
        timeout = 60.0
        before = time.monotonic()
        try:
            with urllib.request.urlopen(f"{self.url}/api/health", timeout=timeout):
                return time.monotonic() - before
        except OSError:
            return timeout

    def answers(self) -> bool:
        """Return True if the service is alive."""
        return answers(f"{self.url}/api/health")
