"""The embedded PostgreSQL keeps its data, and serves one checkout only."""

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
        directory.mkdir(parents=True, mode=0o700)
        made = Postgres(directory / "postgres", "pass:word@/#?%41", fsync=False)
        yield made
        made.stop()


def query(server: Postgres, statement: str) -> Any:
    with psycopg.connect(server.url, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


class TestPostgres:
    def test_start__other_local_users_are_shut_out(self, server, monkeypatch):
        monkeypatch.setenv("AUDIT_SIGNING_KEY", "secret")
        monkeypatch.setenv("PGPORT", "1")
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
        environment = psutil.Process(server.process.pid).environ()
        assert not {"AUDIT_SIGNING_KEY", "PGPORT"} & environment.keys()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up its rights")
    def test_start__not_as_root(self, server):
        server.start()
        process = psutil.Process(server.process.pid)
        assert process.username() == "embedded_postgres"
        assert 0 not in process.gids()
        assert "\nGroups:\t \n" in Path(f"/proc/{process.pid}/status").read_text()
        # The folders above can be passed, and not listed.
        assert stat.S_IMODE(server.directory.parent.stat().st_mode) == 0o701

    def test_start__lock_file_of_a_dead_server(self, server):
        """With a process ID in use again, as in containers, or written by half."""
        server.start()
        server.stop()
        lock = server.data / "postmaster.pid"
        with subprocess.Popen(
            ["cat"], stdin=subprocess.PIPE, user=server.data.stat().st_uid
        ) as other:
            for text in (f"{other.pid}\n{server.data}\n1\n1\n\n\n\nready\n", "", "x\n"):
                lock.write_text(text)
                server.start()
                assert query(server, "SELECT 1") == [(1,)]
                server.stop()
            other.kill()

    def test_start__killed_while_the_data_folder_was_made(self, server):
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


def test_temporary_server__killed__ends():
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
