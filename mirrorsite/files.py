"""Files that appear whole or not at all."""

from __future__ import annotations

import os
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

    Raises `OutputError` when that is not possible.
    """
    with _file_errors(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with (
            _file_errors(path),
            os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file,
        ):
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        yield
        with _file_errors(path):
            Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
