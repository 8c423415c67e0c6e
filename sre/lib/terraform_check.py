"""Check terraform/: see `sre/terraform-check --help`, which starts this."""

from __future__ import annotations

import argparse
import base64
import copy
import itertools
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from sre.lib import iam_statements, manifests

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "terraform"
GAPS = ROOT / "sre" / "lib" / "moto_gaps"
CHECKOV = ROOT / ".local" / "tools" / "checkov" / "bin" / "checkov"
#: The oldest that EKS supports, and the newest whose schemas there are.
KUBERNETES_VERSIONS = ("1.34", "1.37")
NO_PROVIDER = re.compile(
    r"Failed to query available provider|Failed to install provider"
)
IMAGE = "registry.example.org/mirrorsite:1.0.0"
STATE_BUCKET = "mirrorsite-check-state"
#: Of each root that is applied to moto, what has to be said besides its values file.
EKS = {
    "pipeline": (
        "-var=project_path=group/mirrorsite",
        f"-var=state_bucket_name={STATE_BUCKET}",
    ),
    "network": (),
    "cluster": (),
    "data": ("-var=events_topic_arn=arn:aws:sns:eu-west-1:123456789012:check",),
    "runner": (
        "-var=manager_image=example.org/manager:1",
        "-var=worker_image=example.org/worker:1",
    ),
    "app": (f"-var=image={IMAGE}",),
}


class CheckFailedError(Exception):
    """A check failed; the text is what the tool printed."""


class NoProviderError(Exception):
    """A provider can be had neither from disk nor from the registry."""


def random_secrets() -> dict[str, str]:
    """Return values for every ephemeral variable, as Terraform's environment has them."""
    return {
        "TF_VAR_secret_key": secrets.token_hex(32),
        "TF_VAR_postgres_password": secrets.token_hex(16),
        "TF_VAR_aws_access_key_id": secrets.token_hex(10).upper(),
        "TF_VAR_aws_secret_access_key": secrets.token_hex(20),
        "TF_VAR_audit_signing_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "TF_VAR_token": secrets.token_hex(32),
    }


class Check:
    """One run over one copy of terraform/."""

    def __init__(self, work: Path, *, stand_ins: bool) -> None:
        self.work = work
        self.stand_ins = stand_ins
        self.secrets = random_secrets()
        self.failed: list[str] = []
        self.skipped: list[str] = []
        self.environment = _environment(work) | self.secrets
        public = base64.b64encode(secrets.token_bytes(32)).decode()
        self.environment["TF_VAR_audit_public_keys"] = f"0123456789abcdef:{public}"
        self.initialising = threading.Lock()
        self.copies = itertools.count()

    def with_aws(self, url: str) -> Check:
        """Return the same check with AWS's clients pointed to `url`."""
        other = copy.copy(self)
        other.environment = self.environment | {
            "AWS_ENDPOINT_URL": url,
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
        return other

    def copy(self) -> Path:
        """Return a fresh copy: states and plans of different checks must not meet."""
        target = self.work / f"copy-{next(self.copies)}"
        ignore = shutil.ignore_patterns(
            ".terraform", ".terraform.lock.hcl", "*.tfstate*", "backend_override.tf"
        )
        shutil.copytree(SOURCE, target, ignore=ignore)
        return target

    def terraform(self, directory: Path, *arguments: str, status: int = 0) -> str:
        environment = self.environment
        if arguments[0] == "test":
            # Tests bring their own values.
            environment = {k: v for k, v in environment.items() if "TF_VAR" not in k}
        done = subprocess.run(
            ["terraform", f"-chdir={directory}", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != status:
            text = done.stdout + done.stderr
            if NO_PROVIDER.search(text):
                raise NoProviderError(text)
            raise CheckFailedError(f"terraform {' '.join(arguments)}: {text}")
        return done.stdout + done.stderr

    def run(self, name: str, check: Callable[[], str]) -> None:
        """Run one check and print its outcome."""
        began = time.monotonic()
        try:
            said = check()
        except NoProviderError:
            self.skipped.append(f"{name}: a provider cannot be had here")
            said = "SKIPPED"
        except CheckFailedError as error:
            self.failed.append(name)
            said = f"FAILED\n{error}"
        _say(f"{name:<36} {said} ({time.monotonic() - began:.0f} s)")

    # --- Each directory by itself ------------------------------------------------

    def format(self) -> str:
        self.terraform(SOURCE, "fmt", "-check", "-recursive", "-diff")
        return "formatted"

    def directory(self, directory: Path) -> str:
        # One at a time: they share a cache of providers.
        with self.initialising:
            self.terraform(directory, "init", "-no-color", "-backend=false")
        self.terraform(directory, "validate", "-no-color")
        if not list(directory.glob("tests/*.tftest.hcl")):
            return "valid"
        said = self.terraform(directory, "test", "-no-color")
        passed = re.search(r"Success! (\d+) passed", said)
        return f"valid, {passed[1] if passed else '?'} tests passed"

    # --- Plans, and what they install in a cluster -------------------------------

    def plan(self, directory: Path, *arguments: str) -> dict[str, object]:
        """Plan with local state; no secret may be in the saved plan."""
        (directory / "backend_override.tf").write_text(
            'terraform {\n  backend "local" {}\n}\n'
        )
        with self.initialising:
            self.terraform(directory, "init", "-no-color")
        self.terraform(directory, "plan", "-no-color", "-out=check.tfplan", *arguments)
        with zipfile.ZipFile(directory / "check.tfplan") as file:
            self.secret_free("plan", *(file.read(name) for name in file.namelist()))
        shown = self.terraform(directory, "show", "-json", "check.tfplan")
        plan: dict[str, object] = json.loads(shown)
        return plan

    def secret_free(self, what: str, *contents: bytes) -> None:
        for name, secret in self.secrets.items():
            if any(secret.encode() in content for content in contents):
                raise CheckFailedError(f"{name} was found in a {what}")

    def render(self, name: str, plan: dict[str, object]) -> str:
        """Write the plan's objects to files and check them against the schemas."""
        found = manifests.manifests(plan)
        faults = [
            fault
            for manifest in found
            for fault in manifests.schema_faults(manifest, KUBERNETES_VERSIONS)
        ]
        if faults or not found:
            raise CheckFailedError("\n".join(faults or ["no Kubernetes object"]))
        folder = self.work / "manifests" / name
        folder.mkdir(parents=True)
        for number, manifest in enumerate(found):
            path = folder / f"{number:02}-{manifest['kind'].lower()}.json"
            path.write_text(json.dumps(manifest, indent=2))
        return f"{len(found)} objects valid for Kubernetes {KUBERNETES_VERSIONS[-1]}"

    def apply(self, directory: Path, *arguments: str) -> str:
        """Apply the plan made before; a second plan must be empty."""
        said = self.terraform(directory, "apply", "-no-color", "check.tfplan")
        self.terraform(directory, "plan", "-no-color", "-detailed-exitcode", *arguments)
        state = self.terraform(directory, "state", "pull").encode()
        self.secret_free("state", state)
        added = re.search(r"(\d+) added", said)
        return f"applied ({added[1] if added else '?'} added), second plan empty"

    def minikube(self) -> str:
        """Plan an empty cluster's way to the first release; compare with the role."""
        tree = self.copy()
        arguments = ("-var-file=vars/infr.tfvars.json", f"-var=image={IMAGE}")
        plan = self.plan(tree, *arguments)
        said = self.render("minikube", plan)
        agent = self.plan(tree / "agent")
        (rules,) = (
            resource["values"]["rule"]
            for resource in manifests.resources(agent)
            if resource["address"].endswith('kubernetes_role_v1.deployer["mirrorsite"]')
        )
        if missing := manifests.missing_rights(plan, rules):
            raise CheckFailedError("the agent may not change " + "; ".join(missing))
        if any(
            r["type"] == "kubernetes_namespace_v1" for r in manifests.resources(plan)
        ):
            raise CheckFailedError("the pipeline's plan makes a namespace")
        said += "; the agent's role suffices"
        if self.stand_ins:
            said += "; " + self.apply(tree, *arguments)
        return said

    # --- AWS, as far as moto implements it ---------------------------------------

    def bucket(self) -> str:
        """Apply the state bucket, and a root with its state in it under a lock."""
        import boto3

        tree = self.copy()
        self.plan(tree / "bootstrap", f"-var=state_bucket_name={STATE_BUCKET}")
        said = self.apply(tree / "bootstrap", f"-var=state_bucket_name={STATE_BUCKET}")
        store = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="eu-west-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106
        )
        # moto reads a policy without its conditions: "deny what comes without TLS"
        # would deny everything.
        store.delete_bucket_policy(Bucket=STATE_BUCKET)
        config = self.terraform(tree / "bootstrap", "output", "-raw", "backend_config")
        (self.work / "backend.hcl").write_text(config)
        root, key = tree / "bucket", "check.tfstate"
        arguments = ("-var=bucket_name=mirrorsite-check-uploads",)
        with self.initialising:
            self.terraform(
                root,
                "init",
                "-no-color",
                f"-backend-config={self.work / 'backend.hcl'}",
                f"-backend-config=key={key}",
                "-backend-config=use_path_style=true",
            )
        lock = f"{key}.tflock"
        held = json.dumps({"ID": "another-run"}).encode()
        store.put_object(Bucket=STATE_BUCKET, Key=lock, Body=held)
        refused = self.terraform(root, "plan", "-no-color", *arguments, status=1)
        if "Error acquiring the state lock" not in refused:
            raise CheckFailedError(refused)
        store.delete_object(Bucket=STATE_BUCKET, Key=lock)
        self.terraform(root, "plan", "-no-color", "-out=check.tfplan", *arguments)
        self.apply(root, *arguments)
        self.terraform(root, "destroy", "-no-color", "-auto-approve", *arguments)
        kept = self.terraform(
            tree / "bootstrap",
            "destroy",
            "-no-color",
            "-auto-approve",
            f"-var=state_bucket_name={STATE_BUCKET}",
            status=1,
        )
        if "prevent_destroy" not in kept:
            raise CheckFailedError(kept)
        return said + "; a held lock refuses a second run; bucket destroyed"

    def eks(self) -> str:
        """Apply the roots in their order, each reading what the one before handed over."""
        tree, states = self.copy(), []
        for path in sorted(GAPS.glob("*.tf")):
            for gap in re.findall(r"(?m)^# not in moto: (.*)", path.read_text()):
                _say(f"  not in moto, eks/{path.stem}: {gap}")
        for root, more in EKS.items():
            directory = tree / "eks" / root
            shutil.copy(GAPS / f"{root}.tf", directory / "moto_override.tf")
            arguments = ("-var-file=vars/staging.tfvars.json", *more)
            plan = self.plan(directory, *arguments)
            if root == "app":
                _say(f"{'  eks/app':<36} {self.render('eks', plan)}")
                if not self.stand_ins:
                    break
            _say(f"  eks/{root:<30} {self.apply(directory, *arguments)}")
            state = directory / "state.json"
            state.write_text(self.terraform(directory, "show", "-json"))
            states.append(str(state))
        if iam_statements.main(states):
            raise CheckFailedError("an IAM policy breaks a rule")
        return "applied in order"

    def checkov(self) -> str:
        config = ROOT / "sre" / "lib" / "checkov-manifests.yaml"
        for arguments in (
            (
                "--directory",
                SOURCE,
                "--framework",
                "terraform",
                "--skip-path",
                "tests/",
            ),
            ("--directory", self.work / "manifests", "--config-file", config),
        ):
            done = subprocess.run(
                [
                    CHECKOV,
                    *map(str, arguments),
                    "--skip-download",
                    "--compact",
                    "--quiet",
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise CheckFailedError(done.stdout + done.stderr)
        return "passed on the files and on the manifests"


def _environment(work: Path) -> dict[str, str]:
    """Return an environment without anybody's account, state or variables."""
    leaking = ("AWS_", "KUBE", "TF_VAR_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR")
    found = {k: v for k, v in os.environ.items() if not k.startswith(leaking)}
    found |= {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CHECKPOINT_DISABLE": "1",
        "TF_INPUT": "0",
        "TF_IN_AUTOMATION": "1",
        # A registry that cannot be reached must be given up soon.
        "TF_REGISTRY_CLIENT_TIMEOUT": "10",
        "TF_REGISTRY_DISCOVERY_RETRY": "0",
        # A cache of our own, whose packages no later init replaces while they run.
        "TF_PLUGIN_CACHE_DIR": str(work / "plugin-cache"),
        "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
    }
    (work / "plugin-cache").mkdir()
    if not found.get("TF_CLI_CONFIG_FILE"):
        mirrors = "".join(
            f'  filesystem_mirror {{\n    path = "{path}"\n  }}\n'
            for path in _mirrors()
        )
        config = work / "terraform.rc"
        config.write_text(f"provider_installation {{\n{mirrors}  direct {{}}\n}}\n")
        found["TF_CLI_CONFIG_FILE"] = str(config)
    return found


def _mirrors() -> Iterator[Path]:
    """Yield the folders that hold provider packages: TF_PLUGIN_DIR, or found by looking."""
    named = os.environ.get("TF_PLUGIN_DIR")
    places = (
        [Path(named)]
        if named
        else [
            Path.home() / ".terraform.d" / "plugins",
            Path.home() / ".local" / "share" / "terraform" / "plugins",
            Path("/usr/local/share/terraform/plugins"),
            Path("/usr/share/terraform/plugins"),
            *sorted(Path("/opt").glob("*")),
        ]
    )
    for place in places:
        if (place / "registry.terraform.io").is_dir():
            yield place


@contextmanager
def moto(work: Path) -> Iterator[str]:
    """Run moto and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (work / f"moto-{port}.log").open("w") as log:
        process = subprocess.Popen(
            [f"{sys.prefix}/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)],
            env=os.environ | {"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="sre/terraform-check")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--stand-ins", action="store_true")
    options = parser.parse_args(arguments)
    work = Path(tempfile.mkdtemp(prefix="mirrorsite-terraform-"))
    try:
        check = Check(work, stand_ins=options.stand_ins)
        check.run("format", check.format)
        tree = check.copy()
        directories = sorted(path.parent for path in tree.glob("**/versions.tf"))

        def alone(directory: Path) -> None:
            name = str(directory.relative_to(tree))
            check.run(name, lambda: check.directory(directory))

        with ThreadPoolExecutor(2) as pool, moto(work) as url, moto(work) as other:
            # EKS first: it waits minutes for databases that moto makes at once.
            done = [
                pool.submit(check.run, "EKS", check.with_aws(url).eks),
                *(pool.submit(alone, directory) for directory in directories),
                pool.submit(check.run, "Minikube", check.minikube),
                pool.submit(check.run, "buckets", check.with_aws(other).bucket),
            ]
            for future in done:
                future.result()
        check.run("checkov", check.checkov)
    finally:
        if options.keep:
            _say(f"Kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)
    for text in check.skipped:
        _say(f"SKIPPED: {text}")
    _say(f"{len(check.failed)} failed, {len(check.skipped)} skipped")
    if check.failed:
        return 1
    return 77 if check.skipped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
