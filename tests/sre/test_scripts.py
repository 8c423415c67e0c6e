"""The scripts in sre/: help, usage, exit statuses, and what they refuse."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys

import pytest

from sre.lib import smoke
from tests.fake_store import Answer, FakeStore
from tests.sre.stubs import OTHER, program
from tests.support import ROOT, run_program

SCRIPTS = sorted(
    path.name
    for path in (ROOT / "sre").iterdir()
    if path.is_file() and path.stat().st_mode & stat.S_IXUSR
)


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
