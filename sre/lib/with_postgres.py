"""Run a command with DATABASE_URL set to a temporary PostgreSQL.

`python -m sre.lib.with_postgres COMMAND [ARGUMENT …]`; the command's status is ours.
"""

from __future__ import annotations

import os
import subprocess
import sys

from sre.lib.postgres import temporary_postgres


def main() -> int:
    with temporary_postgres() as url:
        environment = os.environ | {"DATABASE_URL": url}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
