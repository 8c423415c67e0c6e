"""Check the pipelines as GitLab would read them.

Started by sre/pipeline-check with the path of gitlab-ci-local. The pipelines are listed
in a copy of this checkout that has an origin, so that rules on changed files count.
"""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CHILD = "terraform/.gitlab-ci.yml"


class PipelineFaultError(AssertionError):
    """A pipeline is not what it must be."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One way a pipeline can start, and the jobs it must then have.

    A job's value is when it starts: on_success, or manual.
    """

    name: str
    variables: dict[str, str]
    changed: str
    jobs: dict[str, str]
    file: str = ".gitlab-ci.yml"


def _on_success(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "on_success")


DEFAULT_BRANCH = {"CI_COMMIT_BRANCH": "main", "CI_PIPELINE_SOURCE": "push"}
MERGE_REQUEST = {"CI_PIPELINE_SOURCE": "merge_request_event"}
# A child pipeline of a merge request knows no CI_COMMIT_BRANCH, and one of a schedule is
# as one of a push: by hand, its parent's `infrastructure` starts it.
CHILD_DEFAULT_BRANCH = DEFAULT_BRANCH | {"CI_PIPELINE_SOURCE": "parent_pipeline"}
CHILD_MERGE_REQUEST = {"CI_PIPELINE_SOURCE": "parent_pipeline"}
ALWAYS = _on_success(
    "lint",
    "secret-detection",
    "test",
    "browser",
    "newman",
    "pipelines",
    "terraform",
    "image-test",
    "dependency-scan",
)
RELEASE = ALWAYS | _on_success("build", "container-scan")
DEPLOY = _on_success("validate", "plan", "smoke", "canary") | {
    "apply": "manual",
    "rollback": "manual",
}
#: With staging and production switched on, and Minikube off.
EKS = _on_success(
    "validate",
    "plan-staging",
    "apply-staging",
    "smoke-staging",
    "canary-staging",
    "plan-production",
    "smoke-production",
    "canary-production",
) | {
    "apply-production": "manual",
    "rollback-staging": "manual",
    "rollback-production": "manual",
}
DEPLOY_EKS = {"DEPLOY_STAGING": "true", "DEPLOY_PRODUCTION": "true"}
SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="default branch, application changed",
        variables=DEFAULT_BRANCH,
        changed="uploads/models.py",
        jobs=RELEASE | {"infrastructure": "manual"},
    ),
    Scenario(
        name="default branch, terraform/ changed",
        variables=DEFAULT_BRANCH,
        changed="terraform/vars/infr.tfvars.json",
        jobs=RELEASE | _on_success("infrastructure"),
    ),
    Scenario(
        name="default branch, by schedule",
        variables=DEFAULT_BRANCH | {"CI_PIPELINE_SOURCE": "schedule"},
        changed="terraform/vars/infr.tfvars.json",
        jobs=RELEASE | {"infrastructure": "manual"},
    ),
    Scenario(
        name="merge request, application changed",
        variables=MERGE_REQUEST,
        changed="uploads/models.py",
        jobs=ALWAYS,
    ),
    Scenario(
        name="merge request, Dockerfile changed",
        variables=MERGE_REQUEST,
        changed="Dockerfile",
        jobs=ALWAYS | _on_success("build-only"),
    ),
    Scenario(
        name="merge request, terraform/ changed",
        variables=MERGE_REQUEST,
        changed="terraform/modules/s3/main.tf",
        jobs=ALWAYS | _on_success("infrastructure-plan"),
    ),
    Scenario(
        name="infrastructure, default branch, by push or by schedule",
        variables=CHILD_DEFAULT_BRANCH,
        changed="terraform/modules/s3/main.tf",
        jobs=DEPLOY,
        file=CHILD,
    ),
    Scenario(
        name="infrastructure, default branch, public address",
        variables=CHILD_DEFAULT_BRANCH | {"SERVICE_URL": "https://mirror.example.org"},
        changed="terraform/modules/s3/main.tf",
        jobs=DEPLOY | _on_success("smoke-outside"),
        file=CHILD,
    ),
    Scenario(
        name="infrastructure, default branch, EKS and no Minikube",
        variables=CHILD_DEFAULT_BRANCH | DEPLOY_EKS | {"DEPLOY_MINIKUBE": "false"},
        changed="terraform/eks/app/main.tf",
        jobs=EKS,
        file=CHILD,
    ),
    Scenario(
        name="infrastructure, default branch, production without staging",
        variables=CHILD_DEFAULT_BRANCH | {"DEPLOY_PRODUCTION": "true"},
        changed="terraform/eks/app/main.tf",
        jobs=DEPLOY | {name: EKS[name] for name in EKS if "production" in name},
        file=CHILD,
    ),
    Scenario(
        name="infrastructure, merge request, EKS",
        variables=CHILD_MERGE_REQUEST | DEPLOY_EKS,
        changed="terraform/eks/app/main.tf",
        jobs=_on_success("validate"),
        file=CHILD,
    ),
    Scenario(
        name="infrastructure, merge request",
        variables=CHILD_MERGE_REQUEST,
        changed="terraform/modules/s3/main.tf",
        jobs=_on_success("validate"),
        file=CHILD,
    ),
    Scenario(
        name="infrastructure, merge request that may be planned",
        variables=CHILD_MERGE_REQUEST | {"PLAN_MERGE_REQUESTS": "true"},
        changed="terraform/modules/s3/main.tf",
        jobs=_on_success("validate", "plan"),
        file=CHILD,
    ),
)


@dataclass(frozen=True)
class Checkout:
    """A copy of this checkout on a branch `work`, with `main` as its origin's."""

    directory: Path
    program: Path

    @classmethod
    def make(cls, directory: Path, program: Path) -> Checkout:
        checkout = cls(directory / "checkout", program)
        checkout.directory.mkdir()
        checkout.git("init", "--quiet", "--initial-branch=main")
        # What is not committed yet counts as well.
        checkout.git(f"--work-tree={ROOT}", "add", "--all")
        checkout.commit("base")
        checkout.git("reset", "--quiet", "--hard")
        origin = directory / "mirrorsite.git"
        checkout.git("clone", "--quiet", "--bare", ".", str(origin))
        checkout.git("remote", "add", "origin", str(origin))
        checkout.git("fetch", "--quiet", "origin")
        checkout.git("remote", "set-head", "origin", "main")
        # Only for the names that gitlab-ci-local makes of it; nothing is sent there.
        checkout.git(
            "remote", "set-url", "origin", "git@gitlab.example.org:group/mirrorsite.git"
        )
        return checkout

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.directory, check=True)

    def commit(self, message: str) -> None:
        self.git(
            "-c", "user.name=check", "-c", "user.email=check@localhost",
            "commit", "--quiet", "--allow-empty", "--message", message,
        )  # fmt: skip

    def change(self, name: str) -> None:
        """Check out a branch with one commit after main that changes one file."""
        self.git("reset", "--quiet", "--hard", "main")
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("changed\n")
        self.git("add", "--all")
        self.git("checkout", "--quiet", "-B", "work")
        self.commit(f"change {name}")

    def gitlab_ci_local(
        self, *arguments: str, variables: dict[str, str], path: str = os.environ["PATH"]
    ) -> subprocess.CompletedProcess[str]:
        given = [f"--variable={name}={value}" for name, value in variables.items()]
        state = self.directory.parent / "state"
        return subprocess.run(
            [
                str(self.program),
                f"--state-dir={os.path.relpath(state, self.directory)}",
                f"--home={self.directory.parent / 'home'}",
                f"--ignore-predefined-vars={','.join(variables)}",
                # sre/pipeline-check has done that, and it takes seconds each time.
                "--no-json-schema-validation",
                *given,
                *arguments,
            ],
            cwd=self.directory,
            env=os.environ | {"PATH": f"{path}:{self._stub_programs()}"},
            capture_output=True,
            text=True,
            check=False,
        )

    def _stub_programs(self) -> Path:
        """Return a directory for the end of PATH, with an rsync that does nothing.

        gitlab-ci-local calls rsync before any job, for copies that only jobs in
        containers use; not every machine has it.
        """
        programs = self.directory.parent / "bin"
        if not programs.exists():
            programs.mkdir()
            (programs / "rsync").write_text("#!/bin/sh\n")
            (programs / "rsync").chmod(0o755)
        return programs


def check_scenario(checkout: Checkout, scenario: Scenario) -> None:
    """List the jobs of a scenario, and see that what they need is there as well."""
    checkout.change(scenario.changed)
    file = f"--file={scenario.file}"
    listed = checkout.gitlab_ci_local(file, "--list-csv", variables=scenario.variables)
    lines = [line for line in listed.stdout.splitlines() if ";" in line]
    if listed.returncode or not lines:
        raise PipelineFaultError(f"{scenario.name}: {listed.stdout}{listed.stderr}")
    rows = list(csv.DictReader(io.StringIO("\n".join(lines)), delimiter=";"))
    jobs = {row["name"]: row["when"] for row in rows}
    if jobs != scenario.jobs:
        raise PipelineFaultError(
            f"{scenario.name}: the jobs are {jobs}, not {scenario.jobs}"
        )
    # GitLab refuses to start a pipeline in which a job needs a missing one.
    needed = {name for row in rows for name in row["needs"].strip("[]").split(",")}
    text = (checkout.directory / scenario.file).read_text()
    optional = set(re.findall(r"- job: ([\w-]+)\n\s+optional: true", text))
    if missing := needed - {""} - jobs.keys() - optional:
        raise PipelineFaultError(f"{scenario.name}: {missing} is needed")
    check_rollback(rows)
    expanded = checkout.gitlab_ci_local(file, "--preview", variables=scenario.variables)
    if expanded.returncode:
        raise PipelineFaultError(f"{scenario.name}: {expanded.stderr}")
    print(f"ok    {scenario.name}: {', '.join(sorted(jobs))}")


def check_rollback(rows: list[dict[str, str]]) -> None:
    """See that a rollback is offered whatever job after the plan has failed.

    GitLab skips a job that needs a failed or skipped one, a manual job too.
    """
    needs = {row["name"]: set(row["needs"].strip("[]").split(",")) for row in rows}
    for failed in needs:
        if not failed.startswith(("apply", "smoke", "canary")):
            continue
        skipped = {failed}
        while more := {n for n in needs if needs[n] & skipped} - skipped:
            skipped |= more
        if lost := {name for name in skipped if name.startswith("rollback")}:
            raise PipelineFaultError(f"after {failed} has failed, {lost} is skipped")


def check_failed_apply(checkout: Checkout) -> None:
    """Run the jobs of staging, with stubs of their tools, through a failed apply."""
    checkout.change("terraform/eks/app/main.tf")
    programs = checkout.directory.parent / "tools"
    calls = programs / "calls"
    programs.mkdir()
    for name, text in (
        ("apk", ""),
        ("aws", ""),
        ("jq", "echo {}"),
        (
            "terraform",
            f'echo "$1 $TF_VAR_image" >>{calls}; [ "$1" != show ] || echo {{}}\n'
            'test "$*" != "apply plan.tfplan"',
        ),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    done = checkout.gitlab_ci_local(
        f"--file={CHILD}",
        "--force-shell-executor",
        "--concurrency=1",
        "--manual=rollback-staging",
        variables=CHILD_DEFAULT_BRANCH
        | {
            "DEPLOY_MINIKUBE": "false",
            "DEPLOY_STAGING": "true",
            "CI_PROJECT_DIR": str(checkout.directory),
            "CI_API_V4_URL": "https://gitlab.example.org/api/v4",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "RELEASE_IMAGE": "mirrorsite:new",
            "ROLLBACK_IMAGE": "mirrorsite:previous",
        },
        path=f"{programs}:{os.environ['PATH']}",
    )
    outcomes = {
        job: outcome
        for outcome, job in re.findall(r"(?m)^ (PASS|FAIL|WARN) +(\S+)", done.stdout)
    }
    expected = {
        "validate": "PASS",
        "plan-staging": "PASS",
        "apply-staging": "FAIL",
        "rollback-staging": "PASS",
    }
    applied = [line for line in calls.read_text().splitlines() if "apply" in line]
    if outcomes != expected or applied != [
        "apply mirrorsite:new",
        "apply mirrorsite:previous",
    ]:
        raise PipelineFaultError(
            f"a failed apply: {outcomes}, {applied}\n{done.stdout}{done.stderr}"
        )
    print("ok    a failed apply: nothing after it runs, and rollback does")


def main(arguments: list[str]) -> int:
    program = Path(arguments[0])
    with tempfile.TemporaryDirectory(prefix="mirrorsite-pipeline-") as directory:
        checkout = Checkout.make(Path(directory), program)
        try:
            for scenario in SCENARIOS:
                check_scenario(checkout, scenario)
            check_failed_apply(checkout)
        except PipelineFaultError as error:
            print(f"FAIL  {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
