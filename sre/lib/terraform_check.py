"""Check terraform/: see `sre/terraform-check --help`, which starts this."""

from __future__ import annotations

import argparse
import base64
import importlib
import itertools
import json
import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sre.lib import manifests

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "terraform"
GAPS = ROOT / "sre" / "lib" / "moto_gaps"
CHECKOV = ROOT / ".local" / "tools" / "checkov" / "bin" / "checkov"
#: The oldest that EKS supports, and the newest whose schemas there are.
KUBERNETES_VERSIONS = ("1.34", "1.37")
NO_PROVIDER = re.compile(
    r"Failed to query available provider|Failed to install provider"
)
LOCAL_BACKEND = 'terraform {\n  backend "local" {}\n}\n'
IMAGE = "-var=image=registry.example.org/mirrorsite:1.0.0"
STATE_BUCKET = "-var=state_bucket_name=mirrorsite-check-state"
#: What each root on EKS needs besides its values file.
EKS = {
    "pipeline": ("-var=project_path=group/mirrorsite", STATE_BUCKET),
    "network": (),
    "cluster": (),
    "data": ("-var=events_topic_arn=arn:aws:sns:eu-west-1:123456789012:check",),
    "runner": (
        "-var=manager_image=example.org/manager:1",
        "-var=worker_image=example.org/worker:1",
    ),
    "app": (IMAGE,),
}
#: A value for every secret variable.
SECRETS = {
    "TF_VAR_secret_key": secrets.token_hex(32),
    "TF_VAR_postgres_password": secrets.token_hex(16),
    "TF_VAR_aws_access_key_id": secrets.token_hex(10).upper(),
    "TF_VAR_aws_secret_access_key": secrets.token_hex(20),
    "TF_VAR_audit_signing_key": base64.b64encode(secrets.token_bytes(32)).decode(),
    "TF_VAR_token": secrets.token_hex(32),
}
VARIABLES = SECRETS | {
    "TF_VAR_audit_public_keys": f"0123456789abcdef:{base64.b64encode(bytes(32)).decode()}"
}


class CheckFailedError(Exception):
    """A check failed; the text is what the tool printed."""


class NoProviderError(Exception):
    """A provider is neither in a mirror nor in the registry."""


class Check:
    """One run, over copies of terraform/ below `work`, with AWS's clients sent to `aws`."""

    def __init__(self, work: Path, *, aws: str, stub_providers: bool) -> None:
        self.work = work
        self.aws = aws
        self.stub_providers = stub_providers
        self.failed: list[str] = []
        self.skipped: list[str] = []
        self._environment = _environment(work, aws)
        self._initialising = threading.Lock()
        self._numbers = itertools.count()

    def run(self, name: str, check: Callable[..., str], *arguments: Any) -> None:
        """Run one check and print its outcome."""
        began = time.monotonic()
        try:
            outcome = check(*arguments)
        except NoProviderError:
            self.skipped.append(f"{name}: a provider is not available here")
            outcome = "SKIPPED"
        except CheckFailedError as error:
            self.failed.append(name)
            outcome = f"FAILED\n{error}"
        print(f"{name:<36} {outcome} ({time.monotonic() - began:.0f} s)")

    def copy(self) -> Path:
        """Return a new copy of terraform/, with local state."""
        target = self.work / f"copy-{next(self._numbers)}"
        ignore = shutil.ignore_patterns(
            ".terraform", ".terraform.lock.hcl", "*.tfstate*", "backend_override.tf"
        )
        shutil.copytree(SOURCE, target, ignore=ignore)
        for path in target.glob("**/*.tf"):
            if 'backend "s3"' in path.read_text():
                (path.parent / "backend_override.tf").write_text(LOCAL_BACKEND)
        return target

    def terraform(self, directory: Path, *arguments: str, status: int = 0) -> str:
        """Run terraform and return its output; another exit status is a failure."""
        # Tests have their own values.
        more = {} if arguments[0] == "test" else VARIABLES
        done = subprocess.run(
            ["terraform", f"-chdir={directory}", *arguments],
            env=self._environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        if done.returncode != status:
            if NO_PROVIDER.search(output):
                raise NoProviderError(output)
            raise CheckFailedError(f"terraform {' '.join(arguments)}: {output}")
        return output

    def init(self, directory: Path, *arguments: str) -> None:
        # One at a time, because they share a cache of providers.
        with self._initialising:
            self.terraform(directory, "init", "-no-color", *arguments)

    def format(self) -> str:
        self.terraform(SOURCE, "fmt", "-check", "-recursive", "-diff")
        return "formatted"

    def directory(self, directory: Path) -> str:
        """Run a root's or a module's own tests, which validate it too."""
        self.init(directory, "-backend=false")
        if not list(directory.glob("tests/*.tftest.hcl")):
            self.terraform(directory, "validate", "-no-color")
            return "valid"
        return _first(r"(\d+ passed)", self.terraform(directory, "test", "-no-color"))

    def plan(self, directory: Path, *arguments: str) -> dict[str, Any]:
        """Return a saved plan, which must not contain a secret."""
        self.init(directory)
        self.terraform(directory, "plan", "-no-color", "-out=check.tfplan", *arguments)
        with zipfile.ZipFile(directory / "check.tfplan") as file:
            _refuse_secrets("plan", *(file.read(name) for name in file.namelist()))
        shown = self.terraform(directory, "show", "-json", "check.tfplan")
        plan: dict[str, Any] = json.loads(shown)
        return plan

    def apply(self, directory: Path, *arguments: str) -> str:
        """Apply the saved plan, or a new one."""
        saved = directory / "check.tfplan"
        what = [saved.name] if saved.exists() else ["-auto-approve", *arguments]
        output = self.terraform(directory, "apply", "-no-color", *what)
        return _first(r"(\d+ added)", output)

    def check_applied(self, directory: Path, *arguments: str) -> None:
        """Check that a second plan is empty, and that no secret is in the state."""
        self.terraform(directory, "plan", "-no-color", "-detailed-exitcode", *arguments)
        _refuse_secrets("state", self.terraform(directory, "state", "pull").encode())

    # --- What a plan installs in a cluster ----------------------------------------

    def render(self, name: str, plan: dict[str, Any]) -> str:
        """Write the plan's objects to files, for checkov, and check their schemas."""
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
            (folder / f"{number:02}.json").write_text(json.dumps(manifest, indent=2))
        return f"{len(found)} objects valid for Kubernetes {KUBERNETES_VERSIONS[-1]}"

    def minikube(self) -> str:
        """Plan the first release into an empty cluster; compare it with the agent's role."""
        tree = self.copy()
        arguments = ("-var-file=vars/infr.tfvars.json", IMAGE)
        plan = self.plan(tree, *arguments)
        outcome = self.render("minikube", plan)
        (rules,) = (
            resource["values"]["rule"]
            for resource in manifests.resources(self.plan(tree / "agent"))
            if resource["address"].endswith('kubernetes_role_v1.deployer["mirrorsite"]')
        )
        if missing := manifests.missing_rights(plan, rules):
            raise CheckFailedError("the agent may not change " + "; ".join(missing))
        # Outputs that a cluster assigns, such as a load balancer's address, would change
        # after the apply. `image` must: it is that of a release that has succeeded.
        late = [n for n, it in plan["output_changes"].items() if it["after_unknown"]]
        if late != ["image"]:
            raise CheckFailedError(f"not known before the apply: outputs {late}")
        types = {resource["type"] for resource in manifests.resources(plan)}
        if "kubernetes_namespace_v1" in types:
            raise CheckFailedError("the pipeline's plan creates a namespace")
        outcome += "; the agent's role suffices"
        if self.stub_providers:
            outcome += f"; {self.apply(tree, *arguments)}"
            self.check_applied(tree, *arguments)
        return outcome

    # --- AWS, as far as moto implements it ----------------------------------------

    def state(self) -> str:
        """Apply the state bucket, and a root whose state is in it and locked there."""
        import boto3

        tree = self.copy()
        bootstrap, root = tree / "bootstrap", tree / "eks" / "pipeline"
        self.init(bootstrap)
        outcome = self.apply(bootstrap, STATE_BUCKET)
        self.check_applied(bootstrap, STATE_BUCKET)
        store: Any = boto3.client(
            "s3",
            endpoint_url=self.aws,
            region_name="eu-west-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106
        )
        bucket = STATE_BUCKET.rpartition("=")[2]
        # moto ignores the conditions of a policy and would deny everything.
        store.delete_bucket_policy(Bucket=bucket)
        config = self.terraform(bootstrap, "output", "-raw", "backend_config")
        (self.work / "backend.hcl").write_text(config)
        (root / "backend_override.tf").unlink()
        self.init(
            root,
            f"-backend-config={self.work / 'backend.hcl'}",
            "-backend-config=key=check.tfstate",
            "-backend-config=use_path_style=true",
        )
        lock = {"Bucket": bucket, "Key": "check.tfstate.tflock"}
        store.put_object(**lock, Body=b'{"ID": "another-run"}')
        refused = self.terraform(
            root, "plan", "-no-color", *_arguments("pipeline"), status=1
        )
        if "Error acquiring the state lock" not in refused:
            raise CheckFailedError(refused)
        store.delete_object(**lock)
        self.apply_root(tree, "pipeline")
        self.check_root(tree, "pipeline")
        arguments = ("-no-color", "-auto-approve", STATE_BUCKET)
        kept = self.terraform(bootstrap, "destroy", *arguments, status=1)
        if "prevent_destroy" not in kept:
            raise CheckFailedError(kept)
        return f"{outcome}, second plan empty, not destroyed; a lock is respected"

    def apply_root(self, tree: Path, name: str) -> None:
        """Apply one root of eks/. Without stub providers, `app` is only planned."""
        root = tree / "eks" / name
        if (gaps := GAPS / f"{name}.tf").exists():
            shutil.copy(gaps, root / "moto_override.tf")
            for gap in re.findall(r"(?m)^# not in moto: (.*)", gaps.read_text()):
                print(f"  not in moto, eks/{name}: {gap}")
        arguments = _arguments(name)
        if name == "app":
            print(f"  eks/app: {self.render('eks', self.plan(root, *arguments))}")
            if not self.stub_providers:
                return
        elif name != "pipeline":
            self.init(root)  # `state` has initialised `pipeline`
        print(f"  eks/{name}: {self.apply(root, *arguments)}")

    def check_root(self, tree: Path, name: str) -> None:
        """Check what was applied of a root of eks/."""
        if name != "app" or self.stub_providers:
            self.check_applied(tree / "eks" / name, *_arguments(name))

    def eks(self) -> str:
        """Apply the roots in order; each reads parameters of the previous ones."""
        tree = self.copy()
        with ThreadPoolExecutor() as pool:
            checks = []
            for name in ("network", "cluster", "data", "app"):
                self.apply_root(tree, name)
                checks.append(pool.submit(self.check_root, tree, name))
                if name == "network":  # all that `runner` needs
                    runner = pool.submit(self.apply_root, tree, "runner")
            runner.result()
            checks.append(pool.submit(self.check_root, tree, "runner"))
            for check in checks:
                check.result()
        return "applied in order, second plans empty"

    def checkov(self, directory: Path, *options: str) -> str:
        command = [str(CHECKOV), "--directory", str(directory), *options]
        done = subprocess.run(
            [*command, "--skip-download", "--compact", "--quiet"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CheckFailedError(done.stdout + done.stderr)
        return "passed"


def _arguments(name: str) -> tuple[str, ...]:
    """Return the arguments of a root of eks/."""
    return ("-var-file=vars/staging.tfvars.json", *EKS[name])


def _environment(work: Path, aws: str) -> dict[str, str]:
    """Return an environment without the caller's accounts, state and variables."""
    leaking = ("AWS_", "KUBE", "TF_VAR_", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(leaking)}
    cache = work / "plugin-cache"
    cache.mkdir()
    return kept | {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": aws,
        "AWS_ENDPOINT_URL_S3": aws,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "CHECKPOINT_DISABLE": "1",
        "TF_INPUT": "0",
        "TF_IN_AUTOMATION": "1",
        # Give up early on a registry that cannot be reached.
        "TF_REGISTRY_CLIENT_TIMEOUT": "10",
        "TF_REGISTRY_DISCOVERY_RETRY": "0",
        "TF_PLUGIN_CACHE_DIR": str(cache),
        "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
    }


def _refuse_secrets(what: str, *contents: bytes) -> None:
    for name, secret in SECRETS.items():
        if any(secret.encode() in content for content in contents):
            raise CheckFailedError(f"{name} was found in a {what}")


def _first(pattern: str, text: str) -> str:
    """Return what the pattern's group matched."""
    found = re.search(pattern, text)
    if not found:
        raise CheckFailedError(text)
    return found[1]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="sre/terraform-check")
    parser.add_argument("--stub-providers", action="store_true")
    options = parser.parse_args(arguments)
    work = Path(tempfile.mkdtemp(prefix="mirrorsite-terraform-"))
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # moto is installed for this command only.
    moto = importlib.import_module("moto.server").ThreadedMotoServer(
        "127.0.0.1", 0, verbose=False
    )
    moto.start()
    try:
        aws = "http://{}:{}".format(*moto.get_host_and_port())
        check = Check(work, aws=aws, stub_providers=options.stub_providers)
        check.run("format", check.format)
        with ThreadPoolExecutor(4) as pool:
            # First those that wait for minutes: the AWS provider polls for changes that
            # moto makes immediately.
            futures = [
                pool.submit(check.run, name, getattr(check, name))
                for name in ("eks", "state", "minikube")
            ]
            files = ("--framework", "terraform", "--skip-path", "tests/")
            futures.append(
                pool.submit(check.run, "checkov, files", check.checkov, SOURCE, *files)
            )
            tree = check.copy()
            futures += [
                pool.submit(
                    check.run,
                    str(path.parent.relative_to(tree)),
                    check.directory,
                    path.parent,
                )
                for path in sorted(tree.glob("**/versions.tf"))
            ]
        for future in futures:
            future.result()
        rules = ("--config-file", str(ROOT / "sre" / "lib" / "checkov-manifests.yaml"))
        check.run("checkov, manifests", check.checkov, work / "manifests", *rules)
    finally:
        moto.stop()
        shutil.rmtree(work, ignore_errors=True)
    for text in check.skipped:
        print(f"SKIPPED: {text}")
    print(f"{len(check.failed)} failed, {len(check.skipped)} skipped")
    if check.failed:
        return 1
    return 77 if check.skipped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
