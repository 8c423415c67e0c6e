"""sre/lib/environment.sh makes virtual environments, of a Python that only pretends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sre.stubs import program
from tests.support import run_program

NAME = "requirements/local.txt"
#: Makes an environment of itself, and says in a file what it was asked to do.
PYTHON = """#!/bin/bash
case "$*" in
  "-m venv --clear "*)
    echo create >>"$STEPS"
    rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
  "-m pip install "*) echo "${@: -1}" >>"$STEPS"; [ ! -e "$STEPS.offline" ] ;;
esac
"""


class Machine:
    def __init__(self, directory: Path) -> None:
        self.python = directory / "python"
        program(self.python, PYTHON)
        self.environment = directory / ".venv"
        self.record = directory / "steps"
        self.record.touch()

    def install(self, file: str = NAME) -> int:
        script = '. sre/lib/environment.sh; install_into "$DIRECTORY" "$FILE"'
        return run_program(
            ["bash", "-euo", "pipefail", "-c", script],
            env={
                "PATH": os.environ["PATH"],
                "PYTHON": str(self.python),
                "STEPS": str(self.record),
                "DIRECTORY": str(self.environment),
                "FILE": file,
            },
        ).returncode

    def steps(self) -> list[str]:
        return self.record.read_text().split()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_more_was_installed__nothing_to_do(machine):
    """As when ./sre/test ran before: what its tests start installs nothing."""
    for file in ("requirements/test.txt", NAME, "requirements.txt"):
        assert machine.install(file) == 0
    assert machine.steps() == ["create", "requirements/test.txt"]
    assert machine.install("requirements/check.txt") == 0
    assert machine.steps()[2:] == ["requirements/check.txt"]


def test_python_is_gone__all_is_installed_again(machine):
    """As after an upgrade of the Python that the environment was made with."""
    machine.install()
    (machine.environment / "bin/python").unlink()
    (machine.environment / "bin/python").symlink_to("python-that-was-removed")
    assert machine.install() == 0
    assert machine.steps() == ["create", NAME] * 2


def test_creation_was_cut_short__created_again(machine):
    python = machine.environment / "bin/python"
    python.parent.mkdir(parents=True)
    program(python, "#!/bin/sh\nexit 1\n")  # no pip
    assert machine.install() == 0
    assert machine.steps() == ["create", NAME]


def test_installation_fails__is_tried_again(machine):
    offline = machine.record.with_suffix(".offline")
    offline.touch()
    assert machine.install() == 1
    offline.unlink()
    assert machine.install() == 0
    assert machine.steps() == ["create", NAME, NAME]
