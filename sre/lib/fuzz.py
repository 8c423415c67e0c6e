"""Fuzz a running service from its own description, without and with a token.

Starts the service on loopback with a database and a bucket of its own, or takes
--url. Run by ./sre/fuzz, which has put schemathesis into an environment of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from sre.lib.stack import given_or_temporary_service

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = ROOT / "sre" / "schemathesis.toml"
SCHEMATHESIS = ROOT / ".venv-fuzz" / "bin" / "schemathesis"


def main() -> int:
    parser = argparse.ArgumentParser(prog="sre/fuzz")
    parser.add_argument("--url", help="a running service; default: one of our own")
    parser.add_argument("--token", help="a bearer token for it")
    parser.add_argument("--max-examples", type=int, default=60)
    parser.add_argument("--max-seconds", type=int, default=85, help="of each run")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    with given_or_temporary_service(options.url, options.token) as (url, token):
        status = _run(options, url, None)
        if token:
            status |= _run(options, url, token)
    return status


def _run(options: argparse.Namespace, url: str, token: str | None) -> int:
    print(f"\n== {'With' if token else 'Without'} a token, {url}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mirrorsite-fuzz-") as directory:
        # From a file: schemathesis does not test the address it loads from.
        schema = Path(directory) / "schema.json"
        with urllib.request.urlopen(f"{url}/api/schema", timeout=30) as answer:
            schema.write_bytes(answer.read())
        command = [
            str(SCHEMATHESIS), "--config-file", str(CONFIG), "run", str(schema), "--url", url, "--checks", "all",
            "--max-examples", str(options.max_examples),
            "--max-time", str(options.max_seconds),
            "--continue-on-failure", "--no-color",
        ]  # fmt: skip
        if options.seed is not None:
            command += ["--seed", str(options.seed)]
        if token:
            command += ["--header", f"Authorization: Bearer {token}"]
        # Its summary says how many cases were tried, and the seed to repeat them.
        done = subprocess.run(command, cwd=directory, env=_environment(), check=False)
    return done.returncode


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "NO_PROXY": "*",
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "sre.lib.fuzz_hooks",
    }


if __name__ == "__main__":
    sys.exit(main())
