"""Atomic file writes: a file gets its whole new content or stays as it was."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mirrorsite.standard_streams import OutputError


def write_atomically(path: Path, lines: Iterable[str]) -> None:
    """Write `lines` to a temporary file (mode 0600) and rename it to `path`."""
    with atomic_replacement(path, lines):
        pass


@contextmanager
def atomic_replacement(path: Path, lines: Iterable[str]) -> Iterator[None]:
    """Write `lines` to a temporary file; rename it to `path` if the block succeeds.

    On Linux the file has no name until then, so a killed process leaves nothing behind.
    Raises `OutputError`.
    """
    with _file_errors(path):
        descriptor, temporary = _open_beside(path)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            with _file_errors(path):
                file.writelines(lines)
                file.flush()
                os.fsync(descriptor)
            yield
            with _file_errors(path):
                if temporary is None:
                    # A link cannot replace an existing file; a rename can.
                    temporary = path.parent / f".{secrets.token_hex(8)}"
                    _link(descriptor, temporary)
                temporary.replace(path)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise


def _open_beside(path: Path) -> tuple[int, Path | None]:
    """Create a file beside `path`; return its descriptor and path, None if unnamed."""
    if hasattr(os, "O_TMPFILE"):
        # Not all file systems support O_TMPFILE.
        with suppress(OSError):
            return os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o600), None
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    return descriptor, Path(name)


def _link(descriptor: int, path: Path) -> None:
    """Give an unnamed file a path.

    https://man7.org/linux/man-pages/man2/open.2.html (O_TMPFILE)
    """
    folder = os.open(path.parent, os.O_PATH)
    try:
        # Only with `dst_dir_fd` does Python call linkat(2), which follows the link in
        # /proc; link(2) would not.
        os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder)
    finally:
        os.close(folder)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
