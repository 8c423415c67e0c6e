"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mirrorsite.standard_streams import OutputError


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Write `lines` beside `path` and move them there at the end; mode 0600."""
    with prepared_file(path, lines):
        pass


@contextmanager
def prepared_file(path: Path, lines: Iterable[str]) -> Iterator[None]:
    """Write `lines` beside `path`, and move them there if the block ends well.

    On Linux the file has no name until then, so a killed process leaves nothing. Raises
    `OutputError` when that is not possible.
    """
    with _file_errors(path):
        descriptor, name = _open_beside(path)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            with _file_errors(path):
                file.writelines(lines)
                file.flush()
                os.fsync(descriptor)
            yield
            with _file_errors(path):
                if name is None:
                    name = path.parent / f".{secrets.token_hex(8)}"
                    _link(descriptor, name)
                name.replace(path)
    except BaseException:
        if name is not None:
            name.unlink(missing_ok=True)
        raise


def _open_beside(path: Path) -> tuple[int, Path | None]:
    """Return a new file in the folder of `path`, without a name where that is possible."""
    if hasattr(os, "O_TMPFILE"):
        # Not all file systems support O_TMPFILE.
        with suppress(OSError):
            return os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o600), None
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    return descriptor, Path(name)


def _link(descriptor: int, name: Path) -> None:
    """Give a file without a name one.

    https://man7.org/linux/man-pages/man2/open.2.html (O_TMPFILE)
    """
    folder = os.open(name.parent, os.O_PATH)
    try:
        # Only with a folder's descriptor does Python follow the link of /proc.
        os.link(f"/proc/self/fd/{descriptor}", name.name, dst_dir_fd=folder)
    finally:
        os.close(folder)


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
