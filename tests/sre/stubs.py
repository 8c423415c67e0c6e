"""A machine whose programs only record how they were called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support import ROOT, run_program

#: A kubectl whose current context is another cluster, or one that is ours; it says in a
#: file what it was asked to do, as the other programs do.
KUBECTL = """#!/bin/sh
echo "kubectl $*" >> "$CALLS"
case "$*" in
  *current-context*) echo "$CURRENT" ;;
  *get-contexts*) printf 'production\\nmirrorsite\\n' ;;
  *jsonpath*provider*) case "$*" in *mirrorsite*) echo minikube.sigs.k8s.io ;; esac ;;
esac
"""


OTHER = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class Machine:
    """A PATH on which kubectl, minikube, terraform and aws are stubs."""

    def __init__(self, directory: Path) -> None:
        self.calls = directory / "calls"
        self.calls.touch()
        self.programs = directory / "bin"
        self.programs.mkdir()
        for name in ("minikube", "terraform", "aws"):
            program(self.programs / name, OTHER)
        program(self.programs / "kubectl", KUBECTL)
        self.secrets = directory / "cluster.env"
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(directory),
            "CALLS": str(self.calls),
            "CURRENT": "mirrorsite",
            "AGENT_TOKEN": "not-a-real-token-of-any-agent",
            "SECRETS_FILE": str(self.secrets),
        }

    def run(self, script: str, *arguments: str) -> tuple[int, str]:
        done = run_program(
            [ROOT / "sre" / script, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr

    def changes(self) -> list[str]:
        """Return the calls that were no questions."""
        asking = ("config ", "--output=", "get ")
        return [
            call
            for call in self.calls.read_text().splitlines()
            if not any(word in call for word in asking)
        ]
