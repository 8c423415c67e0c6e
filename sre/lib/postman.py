"""Run newman on docs/postman/ against a service. For ./sre/postman."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from sre.lib.stack import given_or_temporary_service

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "docs" / "postman"
NEWMAN = ROOT / ".newman" / "node_modules" / "newman" / "bin" / "newman.js"


def main() -> int:
    parser = argparse.ArgumentParser(prog="sre/postman")
    parser.add_argument("--url", help="a running service; default: one of our own")
    parser.add_argument("--token", default="", help="a bearer token for it")
    options = parser.parse_args()
    with given_or_temporary_service(options.url, options.token) as (url, token):
        command = [
            "node", str(NEWMAN), "run", "mirrorsite.postman_collection.json",
            "--environment", "mirrorsite.postman_environment.json",
            "--env-var", f"baseUrl={url}", "--env-var", f"token={token}",
            "--color", "off", "--reporters", "cli,junit", "--reporter-cli-no-banner",
            "--reporter-junit-export", str(ROOT / "reports" / "newman.xml"),
        ]  # fmt: skip
        return subprocess.run(command, cwd=FOLDER, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
