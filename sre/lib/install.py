"""Make a virtual environment and install pinned requirements, showing progress.

Standard library only. Run by the system's Python, in the project's directory:
`python3 sre/lib/install.py .venv requirements/local.txt …`. A second run with the same
requirements does nothing.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections import deque
from pathlib import Path


def main(directory: Path, names: list[str]) -> int:
    """Install requirements files into a virtual environment; return the exit status."""
    python = directory / "bin" / "python"
    try:
        if not python.exists():
            _create(directory)
        missing = [name for name in names if not _is_installed(directory, Path(name))]
        if missing and not _has_pip(python):
            _create(directory)  # an earlier creation was cut short
    except subprocess.CalledProcessError:
        _say(
            f"Creating {directory} failed: {sys.executable} cannot install pip there"
            " (ensurepip); on Debian and Ubuntu, install python3-venv."
        )
        return 2
    for name in missing:
        status = _install(python, name)
        if status:
            return status
        stamp = _stamp(directory, Path(name))
        for old in directory.glob(f"{stamp.stem}.*"):
            old.unlink()
        stamp.touch()
    return 0


def _is_installed(directory: Path, file: Path) -> bool:
    """Return whether this file, or one with the same pins and more, was installed."""
    return any(
        _pins(file) <= _pins(other) and _stamp(directory, other).exists()
        for other in (file, *Path("requirements").glob("*.txt"))
    )


def _pins(file: Path) -> set[str]:
    return {line for line in file.read_text().splitlines() if "==" in line}


def _create(directory: Path) -> None:
    _say(f"Creating {directory} with Python {sys.version.split()[0]} …")
    venv.create(directory, with_pip=True, clear=True)


def _has_pip(python: Path) -> bool:
    asked = subprocess.run(
        [python, "-m", "pip", "--version"], capture_output=True, check=False
    )
    return asked.returncode == 0


def _install(python: Path, name: str) -> int:
    total = len(_pins(Path(name)))
    is_hashed = "--hash=" in Path(name).read_text()
    how = ", pinned with hashes" if is_hashed else " and what they need"
    _say(f"Installing {name} (up to {total} packages{how}) …")
    pip = subprocess.Popen(
        [
            python, "-m", "pip", "install", "--disable-pip-version-check",
            "--progress-bar=off", *(["--require-hashes", "--no-deps"] if is_hashed else []),
            f"--requirement={name}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    tail: deque[str] = deque(maxlen=20)
    count = 0
    assert pip.stdout is not None  # noqa: S101 a pipe was asked for
    for line in pip.stdout:
        tail.append(line)
        if line.startswith(("Collecting ", "Requirement already satisfied: ")):
            count += 1
            package = line.partition(": ")[2] or line.removeprefix("Collecting ")
            of = f"/{total}" if is_hashed else ""
            _progress(f"  [{count}{of}] {package.split()[0]}")
        elif line.startswith("Installing collected"):
            _progress("  unpacking …")
    status = pip.wait()
    _progress("")
    if status:
        sys.stderr.writelines(tail)
        _say(f"Installing {name} failed (pip ended with {status}); see above.")
    return status


def _stamp(directory: Path, file: Path) -> Path:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return directory / f".{str(file).replace('/', '-')}.{digest}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _progress(text: str) -> None:
    """Show a step: in place on a terminal, else as a line."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        _say(text)


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(130)
