"""Run a management command that is killed at a chosen point.

`python -m tests.uploads.kill_point SIGNAL before|after COUNT FUNCTION COMMAND
[ARGUMENT …]` sends SIGNAL to this process right before or after the COUNT-th call of
FUNCTION, a dotted name. With SIGKILL no handler, `finally` or rollback runs, as when
the power goes.
"""

from __future__ import annotations

import itertools
import os
import pkgutil
import signal
import sys
from typing import Any

import django
from django.core.management import execute_from_command_line


def main(by: str, when: str, count: str, function: str, *command: str) -> None:
    django.setup()
    holder, _, name = function.rpartition(".")
    owner = pkgutil.resolve_name(holder)
    real = getattr(owner, name)
    calls = itertools.count(1)

    def killed(*args: Any, **kwargs: Any) -> Any:
        is_it = next(calls) == int(count)
        if is_it and when == "before":
            os.kill(os.getpid(), signal.Signals[by])
        result = real(*args, **kwargs)
        if is_it:
            os.kill(os.getpid(), signal.Signals[by])
        return result

    setattr(owner, name, killed)
    execute_from_command_line(["manage.py", *command])


if __name__ == "__main__":
    main(*sys.argv[1:])
