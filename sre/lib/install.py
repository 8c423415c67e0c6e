"""Make .venv and install pinned requirements, showing progress. Standard library only.

Run by the system's Python: `python3 sre/lib/install.py requirements/local.txt …`.
A second run with the same requirements does nothing.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def main(names: list[str]) -> int:
    """Install the named requirements files; return the exit status."""
    try:
        if not PYTHON.exists():
            _create()
        missing = [name for name in names if not _is_installed(name)]
        if missing and not _has_pip():
            _create()  # an earlier creation was cut short
    except subprocess.CalledProcessError:
        _say(
            f"Creating {VENV.name} failed: {sys.executable} cannot install pip there"
            " (ensurepip); on Debian and Ubuntu, install python3-venv."
        )
        return 2
    for name in missing:
        status = _install(name)
        if status:
            return status
        stamp = _stamp(name)
        for old in VENV.glob(f"{stamp.stem}.*"):
            old.unlink()
        stamp.touch()
    return 0


def _is_installed(name: str) -> bool:
    """Return whether this file, or one with the same pins and more, was installed."""
    wanted = _pins(ROOT / name)
    return any(
        wanted <= _pins(path) and _stamp(str(path.relative_to(ROOT))).exists()
        for path in (ROOT / name, *(ROOT / "requirements").glob("*.txt"))
    )


def _pins(path: Path) -> set[str]:
    return {line for line in path.read_text().splitlines() if "==" in line}


def _create() -> None:
    _say(f"Creating {VENV.name} with Python {sys.version.split()[0]} …")
    venv.create(VENV, with_pip=True, clear=True)


def _has_pip() -> bool:
    asked = subprocess.run(
        [PYTHON, "-m", "pip", "--version"], capture_output=True, check=False
    )
    return asked.returncode == 0


def _install(name: str) -> int:
    total = len(_pins(ROOT / name))
    _say(f"Installing {name} (up to {total} packages, pinned with hashes) …")
    pip = subprocess.Popen(
        [
            PYTHON, "-m", "pip", "install", "--disable-pip-version-check",
            "--require-hashes", "--no-deps", "--progress-bar", "off",
            "--requirement", ROOT / name,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    tail: list[str] = []
    count = 0
    assert pip.stdout is not None  # noqa: S101 a pipe was asked for
    for line in pip.stdout:
        tail = [*tail[-20:], line]
        if line.startswith(("Collecting ", "Requirement already satisfied: ")):
            count += 1
            package = line.removeprefix("Requirement already satisfied: ")
            package = package.removeprefix("Collecting ").split(" ")[0].strip()
            _progress(f"  [{count}/{total}] {package}")
        elif line.startswith("Installing collected"):
            _progress("  unpacking …")
    status = pip.wait()
    _progress("")
    if status:
        sys.stderr.writelines(tail)
        _say(f"Installing {name} failed (pip ended with {status}); see above.")
    return status


def _stamp(name: str) -> Path:
    digest = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()[:16]
    return VENV / f".{name.replace('/', '-')}.{digest}"


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _progress(text: str) -> None:
    """Show a step: in place on a terminal, else as a line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()
    elif text:
        _say(text)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
