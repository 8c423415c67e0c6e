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
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class PipelineFaultError(AssertionError):
    """A pipeline is not what it must be."""


class Scenario(NamedTuple):
    """One way a pipeline can start, and the jobs it must then have."""

    name: str
    variables: dict[str, str]
    changed: str
    #: When each job starts: on_success, or manual.
    jobs: dict[str, str]


def _on_success(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "on_success")


def _manual(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "manual")


MERGE_REQUEST = {"CI_PIPELINE_SOURCE": "merge_request_event"}
MAIN = {"CI_COMMIT_BRANCH": "main", "CI_PIPELINE_SOURCE": "push"}
SCHEDULE = MAIN | {"CI_PIPELINE_SOURCE": "schedule"}
ALWAYS = _on_success(
    "lint secret-detection test browser newman pipelines terraform image-test"
    " dependency-scan"
)
RELEASE = ALWAYS | _on_success("build container-scan")
BY_HAND = RELEASE | _manual("infrastructure")
VALUES_FILE = "terraform/vars/infr.tfvars.json"
BUCKET_FILE = "terraform/modules/s3/main.tf"
APPLICATION = (
    Scenario("main, application changed", MAIN, "uploads/models.py", BY_HAND),
    Scenario(
        "main, terraform/ changed",
        MAIN,
        VALUES_FILE,
        RELEASE | _on_success("infrastructure"),
    ),
    Scenario("main, by schedule", SCHEDULE, VALUES_FILE, BY_HAND | _on_success("fuzz")),
    Scenario(
        "merge request, application changed", MERGE_REQUEST, "uploads/models.py", ALWAYS
    ),
    Scenario(
        "merge request, Dockerfile changed",
        MERGE_REQUEST,
        "Dockerfile",
        ALWAYS | _on_success("build-only"),
    ),
    Scenario(
        "merge request, terraform/ changed",
        MERGE_REQUEST,
        BUCKET_FILE,
        ALWAYS | _on_success("infrastructure-plan"),
    ),
)

# The child pipeline of a merge request has no CI_COMMIT_BRANCH. That of a schedule is the
# same as that of a push: the parent's manual job `infrastructure` starts it.
OF_MERGE_REQUEST = {"CI_PIPELINE_SOURCE": "parent_pipeline"}
OF_MAIN = MAIN | OF_MERGE_REQUEST
PRODUCTION = OF_MAIN | {"DEPLOY_PRODUCTION": "true"}
EKS = PRODUCTION | {"DEPLOY_STAGING": "true", "DEPLOY_MINIKUBE": "false"}
DEPLOY = _on_success("validate plan smoke canary") | _manual("apply rollback")
TO_PRODUCTION = _on_success(
    "plan-production smoke-production canary-production"
) | _manual("apply-production rollback-production")
TO_STAGING = _on_success(
    "plan-staging apply-staging smoke-staging canary-staging"
) | _manual("rollback-staging")
APP_FILE = "terraform/eks/app/main.tf"
INFRASTRUCTURE = (
    Scenario("infrastructure, main", OF_MAIN, BUCKET_FILE, DEPLOY),
    Scenario(
        "infrastructure, main, public address",
        OF_MAIN | {"SERVICE_URL": "https://mirror.example.org"},
        BUCKET_FILE,
        DEPLOY | _on_success("smoke-outside"),
    ),
    Scenario(
        "infrastructure, main, EKS and no Minikube",
        EKS,
        APP_FILE,
        _on_success("validate") | TO_STAGING | TO_PRODUCTION,
    ),
    Scenario(
        "infrastructure, main, production without staging",
        PRODUCTION,
        APP_FILE,
        DEPLOY | TO_PRODUCTION,
    ),
    Scenario(
        "infrastructure, merge request, EKS",
        OF_MERGE_REQUEST | {"DEPLOY_STAGING": "true", "DEPLOY_PRODUCTION": "true"},
        APP_FILE,
        _on_success("validate"),
    ),
    Scenario(
        "infrastructure, merge request",
        OF_MERGE_REQUEST,
        BUCKET_FILE,
        _on_success("validate"),
    ),
    Scenario(
        "infrastructure, merge request that may be planned",
        OF_MERGE_REQUEST | {"PLAN_MERGE_REQUESTS": "true"},
        BUCKET_FILE,
        _on_success("validate plan"),
    ),
)
SCENARIOS = {".gitlab-ci.yml": APPLICATION, "terraform/.gitlab-ci.yml": INFRASTRUCTURE}


@dataclass(frozen=True)
class Checkout:
    """A copy of this checkout, with an origin whose branch is `main`."""

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
        checkout.git("reset", "--quiet", "--hard")  # writes the files
        origin = directory / "mirrorsite.git"
        checkout.git("clone", "--quiet", "--bare", ".", str(origin))
        checkout.git("remote", "add", "origin", str(origin))
        checkout.git("fetch", "--quiet", "origin")
        checkout.git("remote", "set-head", "origin", "main")
        # gitlab-ci-local derives the project's name and path from this URL; nothing is
        # sent there.
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
        self, *arguments: str, variables: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        state = self.directory.parent / "state"
        return subprocess.run(
            [
                str(self.program),
                f"--state-dir={os.path.relpath(state, self.directory)}",
                f"--home={self.directory.parent / 'home'}",
                f"--ignore-predefined-vars={','.join(variables)}",
                # sre/pipeline-check has done that, and it takes seconds each time.
                "--no-json-schema-validation",
                *(f"--variable={name}={value}" for name, value in variables.items()),
                *arguments,
            ],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )


def check_scenario(checkout: Checkout, file: str, scenario: Scenario) -> None:
    """List the jobs of a scenario, and see that what they need is there as well."""
    checkout.change(scenario.changed)
    # Listing expands every `extends` and `!reference`, and fails for one that is missing.
    listed = checkout.gitlab_ci_local(
        f"--file={file}", "--list-csv", variables=scenario.variables
    )
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
    needed = {name for row in rows for name in _needs(row)}
    text = (checkout.directory / file).read_text()
    optional = set(re.findall(r"- job: ([\w-]+)\n\s+optional: true", text))
    if missing := needed - jobs.keys() - optional:
        raise PipelineFaultError(
            f"{scenario.name}: jobs need {missing}, which is missing"
        )
    check_rollback(rows)
    print(f"ok    {scenario.name}: {', '.join(sorted(jobs))}")


def check_rollback(rows: list[dict[str, str]]) -> None:
    """See that a rollback is offered whatever job after the plan has failed.

    GitLab skips a job that needs a failed or skipped one, a manual job too.
    """
    needs = {row["name"]: _needs(row) for row in rows}
    for failed in needs:
        if not failed.startswith(("apply", "smoke", "canary")):
            continue
        skipped = {failed}
        while more := {n for n in needs if needs[n] & skipped} - skipped:
            skipped |= more
        if lost := {name for name in skipped if name.startswith("rollback")}:
            raise PipelineFaultError(f"after {failed} has failed, {lost} is skipped")


def _needs(row: dict[str, str]) -> set[str]:
    return set(row["needs"].strip("[]").split(",")) - {""}


def main(arguments: list[str]) -> int:
    program = Path(arguments[0])
    with tempfile.TemporaryDirectory(prefix="mirrorsite-pipeline-") as directory:
        checkout = Checkout.make(Path(directory), program)
        try:
            for file, scenarios in SCENARIOS.items():
                for scenario in scenarios:
                    check_scenario(checkout, file, scenario)
        except PipelineFaultError as error:
            print(f"FAIL  {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
