"""sre/lib/install.py with a virtual environment that is only pretended."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sre.lib import install

NAME = "requirements/local.txt"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / ".venv"


@pytest.fixture
def done(directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pretend an empty machine; return what is done there, step by step."""
    steps: list[str] = []
    python = directory / "bin" / "python"

    def create(where: Path, *, with_pip: bool, clear: bool) -> None:
        assert (where, with_pip, clear) == (directory, True, True)
        for old in directory.rglob("*"):
            if not old.is_dir():
                old.unlink()
        python.parent.mkdir(parents=True, exist_ok=True)
        write_python(python, pip_works=True)
        steps.append("create")

    def install_one(python: Path, name: str) -> int:
        steps.append(name)
        return 0

    monkeypatch.setattr("venv.create", create)
    monkeypatch.setattr(install, "_install", install_one)
    return steps


def write_python(path: Path, *, pip_works: bool) -> None:
    path.write_text(f"#!/bin/sh\nexit {0 if pip_works else 1}\n")
    path.chmod(0o755)


class TestMain:
    def test_second_start__nothing_to_do(
        self, directory: Path, done: list[str]
    ) -> None:
        assert install.main(directory, [NAME]) == 0
        assert install.main(directory, [NAME]) == 0
        assert done == ["create", NAME]

    def test_more_was_installed__nothing_to_do(
        self, directory: Path, done: list[str]
    ) -> None:
        """As when ./sre/test ran before: what its tests start installs nothing."""
        tests = "requirements/test.txt"
        assert install.main(directory, [tests]) == 0
        assert install.main(directory, [NAME, "requirements.txt"]) == 0
        assert done == ["create", tests]

    def test_python_is_gone__all_is_installed_again(
        self, directory: Path, done: list[str]
    ) -> None:
        """As after an upgrade of the Python that the environment was made with."""
        install.main(directory, [NAME])
        python = directory / "bin" / "python"
        python.unlink()
        python.symlink_to("python-that-was-removed")
        assert install.main(directory, [NAME]) == 0
        assert done == ["create", NAME] * 2

    def test_creation_was_cut_short__created_again(
        self, directory: Path, done: list[str]
    ) -> None:
        python = directory / "bin" / "python"
        python.parent.mkdir(parents=True)
        write_python(python, pip_works=False)
        assert install.main(directory, [NAME]) == 0
        assert done == ["create", NAME]

    def test_installation_fails__is_tried_again(
        self, directory: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(install, "_install", lambda python, name: 1)
            assert install.main(directory, [NAME]) == 1
        assert install.main(directory, [NAME]) == 0
        assert done == ["create", NAME]

    def test_python_without_ensurepip__one_clear_sentence(
        self,
        directory: Path,
        done: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """As on Debian without python3-venv."""

        def fail(*arguments: object, **options: object) -> None:
            raise subprocess.CalledProcessError(1, ["python3", "-m", "ensurepip"])

        monkeypatch.setattr("venv.create", fail)
        assert install.main(directory, [NAME]) == 2
        assert "install python3-venv" in capsys.readouterr().err.splitlines()[-1]
