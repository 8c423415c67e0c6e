"""The two images of terraform/eks/runner: what their start scripts make of the task."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.sre.stubs import program
from tests.support import ROOT, run_program

RUNNER = ROOT / "terraform" / "eks" / "runner"
TASK = {
    "CI_SERVER_URL": "https://gitlab.com",
    "CI_SERVER_TOKEN": "glrt-token",
    "RUNNER_CONCURRENT": "4",
    "FARGATE_CLUSTER": "mirrorsite-staging-runner",
    "FARGATE_REGION": "eu-west-1",
    "FARGATE_SUBNET": "subnet-a",
    "FARGATE_SECURITY_GROUP": "sg-worker",
    "FARGATE_TASK_DEFINITION": "mirrorsite-staging-runner-worker",
    "FARGATE_USE_PUBLIC_IP": "false",
}


def start(image: str, tmp_path: Path, **environment: str) -> tuple[int, str, str]:
    """Run a start script beside programs that only say how they were started."""
    for name in ("gitlab-runner", "sshd", "ssh-keygen"):
        program(tmp_path / name, '#!/bin/sh\necho "$(basename "$0") $*"\n')
    done = run_program(
        [RUNNER / "images" / image / "start"],
        env={
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "RUNNER_DIRECTORY": str(tmp_path),
            **environment,
        },
    )
    return done.returncode, done.stdout, done.stderr


class TestManager:
    def test_task__gives_what_is_read(self):
        text = (RUNNER / "main.tf").read_text()
        manager = text.split('resource "aws_ecs_task_definition" "manager"')[1]
        environment = manager.split("environment = ")[1].split("} : {")[0]
        names = set(re.findall(r"^\s+([A-Z_]+)\s+=", environment, re.MULTILINE))
        names |= set(re.findall(r'secrets = \[\{ name = "(\w+)"', manager))
        assert names == set(TASK)

    def test_configuration(self, tmp_path):
        file = tmp_path / "config.toml"
        status, said, _ = start("manager", tmp_path, **TASK)
        assert (status, said) == (0, f"gitlab-runner run --config {file}\n")
        assert file.stat().st_mode & 0o077 == 0
        configuration = tomllib.loads(file.read_text())
        assert configuration["concurrent"] == 4
        (runner,) = configuration["runners"]
        assert runner["url"] == "https://gitlab.com"
        assert runner["token"] == "glrt-token"
        assert runner["executor"] == "custom"
        for step in ("config", "prepare", "run", "cleanup"):
            assert runner["custom"][f"{step}_exec"] == f"{tmp_path}/fargate"
            assert runner["custom"][f"{step}_args"] == [
                "--config", f"{tmp_path}/fargate.toml", "custom", step,
            ]  # fmt: skip
        driver = tomllib.loads((tmp_path / "fargate.toml").read_text())
        assert driver["Fargate"] == {
            "Cluster": "mirrorsite-staging-runner",
            "Region": "eu-west-1",
            "Subnet": "subnet-a",
            "SecurityGroup": "sg-worker",
            "TaskDefinition": "mirrorsite-staging-runner-worker",
            "EnablePublicIP": False,
            "UsePublicIP": False,
        }

    @pytest.mark.parametrize("value", ["", 'a"b'])
    def test_refuses(self, tmp_path, value):
        task = TASK | {"CI_SERVER_TOKEN": value}
        status, _, said = start("manager", tmp_path, **task)
        assert status == 2
        assert said.startswith("start: CI_SERVER_TOKEN ")
        assert not (tmp_path / "config.toml").exists()


class TestWorker:
    def test_lets_the_manager_in(self, tmp_path):
        status, said, _ = start("worker", tmp_path, SSH_PUBLIC_KEY="ssh-rsa AAAA")
        assert status == 0
        assert said.splitlines()[0] == "ssh-keygen -A"
        assert "PasswordAuthentication=no" in said
        assert (tmp_path / ".ssh/authorized_keys").read_text() == "ssh-rsa AAAA\n"

    def test_without_a_key__nobody_gets_in(self, tmp_path):
        status, said, error = start("worker", tmp_path)
        assert (status, said) == (2, "")
        assert "SSH_PUBLIC_KEY is not set" in error
