"""./sre/run as a newcomer uses it: start, post, stop, start again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest

from sre.lib import processes
from sre.lib.ports import free_ports, is_listening

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.service


class Checkout:
    """A copy of the project with nothing started yet, and ports of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.store_port, self.dead_port = free_ports(3)
        self.process: subprocess.Popen[str] | None = None
        self.output = directory.parent / "output"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        kept = {"PATH", "HOME", "LANG", "PYTHON", "PIP_CONFIG_FILE", "PIP_INDEX_URL"}
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "BIND": f"127.0.0.1:{self.port}",
            "STORE_PORT": str(self.store_port),
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
        )

    def start(self) -> str:
        """Run ./sre/run until it has announced itself; return what it printed."""
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [self.directory / "sre" / "run"],
                env=self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        assert processes.wait_until(
            lambda: "Ctrl-C stops everything" in self.output.read_text(), seconds=180
        ), self.output.read_text()
        return self.output.read_text()

    def stop(self) -> list[psutil.Process]:
        """Press Ctrl-C; return the processes that are left over."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self.process = None
        return [child for child in family if child.is_running()]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    directory = tmp_path / "mirrorsite"
    for name in ("mirrorsite", "uploads", "transforms", "sre"):
        shutil.copytree(ROOT / name, directory / name)
    for file in [ROOT / "manage.py", *ROOT.glob("requirements*.txt")]:
        shutil.copy(file, directory / file.name)
    # The environment of the suite: installing it again would only take minutes.
    (directory / ".venv").symlink_to(sys.prefix)
    made = Checkout(directory)
    yield made
    if made.process is not None:
        made.stop()


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
        before = time.monotonic()
        printed = checkout.start()
        first_start = time.monotonic() - before
        name = re.search(r"admin user: (\S+)", printed)
        password = re.search(r"admin password: (\S+)", printed)
        assert name is not None
        assert password is not None
        assert "curl -X POST" in printed

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

        assert checkout.stop() == []
        assert not is_listening(checkout.port)
        assert not is_listening(checkout.store_port)

        before = time.monotonic()
        again = checkout.start()
        assert get(f"{checkout.url}/api/health") == '{"status":"ok"}'
        # A few seconds on a quiet machine; a busy one took long for the first as well.
        assert time.monotonic() - before < max(30, 2 * first_start)
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
            ("BIND", "4545", "set it to address:port"),
            ("BIND", "127.0.0.1:99999", "set it to address:port"),
            ("STORE_PORT", "99999", "set it to a port number"),
            ("STORE_PORT", "-1", "set it to a port number"),
        ],
    )
    def test_no_port__one_clear_sentence(
        self, checkout: Checkout, variable: str, value: str, sentence: str
    ) -> None:
        done = checkout.run(**{variable: value})
        assert done.returncode == 2
        told = f"mirrorsite cannot start: {variable} is {value!r}; {sentence}"
        assert done.stderr.splitlines()[-1].startswith(told)
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
