"""manage.py with the environment of the local service; started by sre/manage."""

from __future__ import annotations

import os
import signal
import sys


def main(arguments: list[str]) -> None:
    """Become manage.py; ./sre/run must be running."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before manage.py

    from sre.lib import local_service

    os.chdir(local_service.ROOT)
    try:
        environment = local_service.command_environment()
    except (local_service.StartError, OSError) as error:
        sys.stderr.write(f"sre/manage cannot run: {error}\n")
        sys.exit(2)
    os.execve(sys.executable, [sys.executable, "manage.py", *arguments], environment)  # noqa: S606 no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
