"""manage.py with the environment of the local service; started by sre/manage."""

from __future__ import annotations

import os
import sys

from sre.lib import local_service


def main(arguments: list[str]) -> None:
    """Become manage.py; ./sre/run must be running."""
    os.chdir(local_service.ROOT)
    try:
        environment = local_service.command_environment()
    except local_service.StartError as error:
        sys.exit(f"sre/manage cannot run: {error}")
    os.execve(sys.executable, [sys.executable, "manage.py", *arguments], environment)  # noqa: S606 no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
