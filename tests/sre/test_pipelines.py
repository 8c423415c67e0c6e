"""The pipelines: what sre/pipeline-check and GitLab's schema cannot see."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirrorsite.environment import VARIABLES
from sre.lib.pipeline_check import PipelineFaultError, check_rollback
from tests.sre.stubs import program
from tests.support import ROOT, run_program

ENVIRONMENT = ROOT / "sre" / "lib" / "ci_environment.sh"
FILES = (ROOT / ".gitlab-ci.yml", ROOT / "terraform" / ".gitlab-ci.yml", ENVIRONMENT)


class _Loader(yaml.SafeLoader):
    """YAML with GitLab's !reference."""


def _reference(loader: yaml.SafeLoader, node: yaml.Node) -> str:
    return "!reference " + " ".join(child.value for child in node.value)


_Loader.add_constructor("!reference", _reference)


def pipeline(path: Path) -> dict[str, Any]:
    """Return a pipeline, each job with what it extends."""
    loaded: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 a SafeLoader

    def extended(job: dict[str, Any]) -> dict[str, Any]:
        names = job.get("extends", [])
        whole: dict[str, Any] = {}
        for name in [names] if isinstance(names, str) else names:
            whole = _merged(whole, extended(loaded[name]))
        return _merged(whole, job)

    return {
        name: extended(job) if isinstance(job, dict) else job
        for name, job in loaded.items()
    }


def _merged(base: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """https://docs.gitlab.com/ci/yaml/#extends: hashes are merged, the rest replaced."""
    both = {
        key: _merged(base[key], value)
        for key, value in job.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return base | job | both


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of a pipeline, not what they extend."""
    return {
        name: job
        for name, job in pipeline(path).items()
        if isinstance(job, dict) and name[0] != "." and {"script", "trigger"} & set(job)
    }


class TestVariables:
    #: Those of docs/ci.md, which its reader sets.
    YOURS = frozenset(
        name
        for line in (ROOT / "docs" / "ci.md").read_text().splitlines()
        for name in re.findall(r"`([A-Z_]+)`", line.partition(" | ")[0])
        if line.startswith("| `")
    )

    def test_yours__used(self):
        texts = [re.sub(r"(?m)(^|\s)#.*$", "", file.read_text()) for file in FILES]
        used = set(re.findall(r"\b[A-Z][A-Z_]+\b", "\n".join(texts)))
        assert {"DEPLOY_SECRET_KEY"} <= self.YOURS <= used

    def test_yours__not_the_tests(self):
        """A variable of the project would come before the test job's own."""
        aws = {name for name in VARIABLES if name.startswith("AWS_")}
        assert self.YOURS & (set(VARIABLES) | {"POSTGRES_PASSWORD"}) <= aws


class TestGates:
    """A merge passes the same parts in .ci/run and in GitLab."""

    #: Arguments that only GitLab's jobs or only .ci/run give.
    OPTIONS = re.compile(r" (--ignore=\S+|\$\w+|gitleaks.json)")

    def test_same_parts(self):
        here = re.findall(r"(?m)^part (\./sre/[^#\n]+)", (ROOT / ".ci/run").read_text())
        there = [
            line
            for name, job in jobs(FILES[0]).items()
            for line in job.get("script", [])
            if line.startswith("./sre/") and name != "fuzz"  # by a schedule
        ]
        assert {self.OPTIONS.sub("", part.strip()) for part in here} == {
            self.OPTIONS.sub("", part) for part in there
        }

    def test_part_that_cannot_run__a_warning(self):
        """It ends with 77: its job is neither passed nor failed."""
        for name, job in jobs(FILES[0]).items():
            if "./sre/" in str(job.get("script", "")):
                assert job.get("allow_failure") == {"exit_codes": [77]}, name

    def test_release__after_every_part_and_by_digest(self):
        """What is deployed has passed all of them, and was scanned."""
        found = jobs(FILES[0])
        release = found["infrastructure"]
        gates = {
            name for name, job in found.items() if job["stage"] in ("lint", "test")
        }
        assert gates <= set(release["needs"])
        assert release["variables"]["RELEASE_IMAGE"] == "$IMAGE_BY_DIGEST"
        scans = [line for line in found["container-scan"]["script"] if "image" in line]
        assert all('"$IMAGE_BY_DIGEST"' in line for line in scans)


class TestPipelines:
    def test_roles__plan_and_apply_apart(self):
        for name, job in jobs(FILES[1]).items():
            kind, _, environment = name.partition("-")
            role = {
                "plan": "$AWS_PLAN_ROLE_ARN",
                "apply": "$AWS_APPLY_ROLE_ARN",
                "rollback": "$AWS_APPLY_ROLE_ARN",
            }.get(kind)
            if kind in ("smoke", "canary") and environment in ("staging", "production"):
                # These start a Job in the cluster, which is let in by role.
                role = "$AWS_APPLY_ROLE_ARN"
            assert job.get("variables", {}).get("AWS_ROLE_ARN") == role, name

    def test_runner__chosen_for_all_jobs_with_access(self):
        """Only a runner inside the network reaches a private cluster."""
        assert pipeline(FILES[1])["variables"]["DEPLOY_RUNNER_TAG"] == ""
        for name, job in jobs(FILES[1]).items():
            tags = ["$DEPLOY_RUNNER_TAG"] if "id_tokens" in job else None
            assert job.get("tags") == tags, name

    def test_rollback__outlives_a_weekend(self):
        # GitLab starts no job whose needed artifacts have expired.
        assert pipeline(FILES[1])[".plan"]["artifacts"]["expire_in"] == "30 days"

    def test_token__for_the_audience_that_the_roles_trust(self):
        # terraform/eks/pipeline trusts its gitlab_url, which need not be gitlab.com.
        for name, job in jobs(FILES[1]).items():
            for token in job.get("id_tokens", {}).values():
                assert token == {"aud": "$CI_SERVER_URL"}, name

    @pytest.mark.parametrize("environment", ["staging", "production"])
    def test_values__are_of_the_environment(self, environment):
        for kind in ("plan", "apply", "rollback"):
            given = jobs(FILES[1])[f"{kind}-{environment}"]["variables"]
            assert given["VAR_FILE"] == f"vars/{environment}.tfvars.json"
            assert (ROOT / given["TF_ROOT"] / given["VAR_FILE"]).exists()
            assert given["EKS_CLUSTER"] == f"mirrorsite-{environment}"
            assert given["STATE_KEY"] == f"eks/{environment}/app.tfstate"

    def test_rollback__image_from_an_output_of_the_root(self):
        for root in ("terraform", "terraform/eks/app"):
            outputs = (ROOT / root / "outputs.tf").read_text()
            assert re.search(
                r'output "image" \{[^}]*value += module.deployment.image\n', outputs
            )

    @pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
    @pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not there")
    def test_plan__names_the_image_of_the_last_successful_release(self, tmp_path):
        # The output and its resource as in modules/k8s/deployment, after a release that can fail.
        (tmp_path / "main.tf").write_text(
            """
            variable "image" { type = string }
            resource "terraform_data" "release" {
              triggers_replace = [var.image]
              provisioner "local-exec" { command = "test ${var.image} != bad" }
            }
            resource "terraform_data" "released" {
              input      = var.image
              depends_on = [terraform_data.release]
            }
            output "image" { value = terraform_data.released.output }
            """
        )
        script = "\n".join(pipeline(FILES[1])[".plan"]["script"])

        def plan_and_apply(image: str) -> str:
            run_program(
                ["sh", "-euc", f"init_backend() {{ terraform init; }}\n{script}"],
                cwd=tmp_path,
                env=os.environ | {"TF_VAR_image": image, "VAR_FILE": "/dev/null"},
            )
            run_program(["terraform", "apply", "plan.tfplan"], cwd=tmp_path)
            written: str = (tmp_path / "previous.env").read_text()
            return written

        assert plan_and_apply("a") == "PREVIOUS_IMAGE=\n"
        assert plan_and_apply("bad") == "PREVIOUS_IMAGE=a\n"
        assert plan_and_apply("b") == "PREVIOUS_IMAGE=a\n"

    @pytest.mark.parametrize(
        ("metadata", "status", "written"),
        [
            (
                {"containerimage.digest": f"sha256:{'0a' * 32}", "other": 1},
                0,
                f"IMAGE_BY_DIGEST=registry/image:tag@sha256:{'0a' * 32}\n",
            ),
            ({"other": 1}, 1, None),
        ],
        ids=["digest", "none"],
    )
    def test_build__digest_or_failure(self, tmp_path, metadata, status, written):
        found = pipeline(FILES[0])
        common, *rest = found["build"]["script"]
        assert common == "!reference .buildkit script"
        (tmp_path / "pyproject.toml").write_text('version = "1.0.0"\n')
        (tmp_path / "metadata.json").write_text(json.dumps(metadata, indent=2))
        stub = "buildctl-daemonless.sh() { cp metadata.json build.json; }\n"
        script = [*found[".buildkit"]["script"], *rest]
        done = run_program(
            ["bash", "-euc", stub + "\n".join(script)],
            cwd=tmp_path,
            env={
                "PATH": "/usr/bin:/bin",
                "IMAGE": "registry/image:tag",
                "CI_COMMIT_SHA": "0",
                "BUILD_OUTPUT": "",
            },
        )
        assert done.returncode == status, done.stderr
        image = tmp_path / "image.env"
        assert (image.read_text() if image.exists() else None) == written

    @pytest.mark.parametrize(
        ("failing", "status"), [(0, 0), (1, 0), (2, 1)], ids=["never", "once", "twice"]
    )
    def test_rollback__a_failed_apply_is_repeated_once(self, tmp_path, failing, status):
        script = pipeline(FILES[1])[".rollback"]["script"]
        # terraform fails its first applies; an apply needs a plan made after the last one.
        stub = f"""
            init_backend() {{ :; }}
            terraform() {{
              case "$1" in
                plan) touch fresh ;;
                apply) rm fresh && echo >>applies && [ "$(wc -l <applies)" -gt {failing} ] ;;
              esac
            }}
        """
        done = run_program(
            ["sh", "-euc", stub + "\n".join(script)],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "PREVIOUS_IMAGE": "i:1", "VAR_FILE": "v"},
        )
        assert done.returncode == status, done.stderr
        applies = (tmp_path / "applies").read_text().count("\n")
        assert applies == min(failing + 1, 2)


class TestEnvironment:
    """The shell that turns CI variables into Terraform's, as the jobs source it."""

    def given(self, tmp_path: Path, **variables: str) -> dict[str, str]:
        done = run_program(
            ["sh", "-euc", f". {shlex.quote(str(ENVIRONMENT))}; env"],
            env={
                "PATH": "/usr/bin:/bin",
                "TMPDIR": str(tmp_path),
                "CI_PROJECT_ID": "7",
                "CI_JOB_ID": "42",
                "CI_REGISTRY": "registry.example.org",
                "KUBE_CTX": "group/project:mirrorsite",
                **variables,
            },
            check=True,
        )
        return dict(re.findall(r"(?m)^(\w+)=(.*)", done.stdout))

    def test_role__before_a_static_key(self, tmp_path):
        given = self.given(
            tmp_path,
            AWS_ROLE_ARN="arn:aws:iam::123456789012:role/plan",
            AWS_ID_TOKEN="token",
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
        )
        assert Path(given["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text() == "token"
        assert given["AWS_ROLE_SESSION_NAME"] == "gitlab-7-42"
        assert "AWS_ACCESS_KEY_ID" not in given

    def test_static_key(self, tmp_path):
        """An undefined role arrives as an empty one, which Terraform would try to take."""
        given = self.given(
            tmp_path,
            AWS_ROLE_ARN="",
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="s",
        )
        assert given["AWS_ACCESS_KEY_ID"] == "key"
        assert "AWS_ROLE_ARN" not in given
        assert "AWS_WEB_IDENTITY_TOKEN_FILE" not in given

    def test_nothing_given__terraform_keeps_its_defaults(self, tmp_path):
        given = self.given(tmp_path)
        assert [name for name in given if name.startswith("TF_VAR_")] == []

    @pytest.mark.parametrize("deploy_token", [False, True])
    def test_service(self, tmp_path, deploy_token):
        token = (
            {"CI_DEPLOY_USER": "u", "CI_DEPLOY_PASSWORD": "p"} if deploy_token else {}
        )
        given = self.given(
            tmp_path,
            RELEASE_IMAGE="registry.example.org/mirrorsite:abc",
            DEPLOY_SECRET_KEY="k",
            DEPLOY_POSTGRES_PASSWORD="d",
            KUBECONFIG="/builds/kubeconfig",
            DATABASE_URL="not ours",
            **token,
        )
        expected = {
            "TF_VAR_image": "registry.example.org/mirrorsite:abc",
            "TF_VAR_secret_key": "k",
            "TF_VAR_postgres_password": "d",
        }
        if deploy_token:
            expected |= {
                "TF_VAR_registry_server": "registry.example.org",
                "TF_VAR_registry_username": "u",
                "TF_VAR_registry_password": "p",
            }
        made = {key: value for key, value in given.items() if key.startswith("TF_VAR_")}
        assert made == expected
        assert given["KUBE_CONFIG_PATH"] == "/builds/kubeconfig"

    def test_eks__by_the_jobs_role_and_not_the_agent(self, tmp_path):
        program(tmp_path / "aws", '#!/bin/sh\necho "$@" >"$KUBECONFIG"\n')
        given = self.given(
            tmp_path,
            PATH=f"{tmp_path}:/usr/bin:/bin",
            EKS_CLUSTER="mirrorsite-staging",
            AWS_DEFAULT_REGION="eu-west-1",
            KUBECONFIG="/builds/kubeconfig",
        )
        assert given["KUBE_CTX"] == "mirrorsite-staging"
        assert given["KUBE_CONFIG_PATH"] == given["KUBECONFIG"]
        assert Path(given["KUBECONFIG"]).read_text() == (
            "eks update-kubeconfig --region eu-west-1"
            " --name mirrorsite-staging --alias mirrorsite-staging\n"
        )


@pytest.mark.parametrize(("needs", "is_skipped"), [("plan", False), ("smoke", True)])
def test_pipeline_check__a_rollback_that_a_failed_job_skips(needs, is_skipped):
    needed_by = {"plan": "", "apply": "plan", "smoke": "apply", "rollback": needs}
    rows = [
        {"name": name, "needs": f"[{needed}]"} for name, needed in needed_by.items()
    ]
    with pytest.raises(PipelineFaultError) if is_skipped else nullcontext():
        check_rollback(rows)
