#!/usr/bin/env python3
"""Run mirrorsite's operator commands; `./manage.py help` lists them."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from mirrorsite.database import lift_statement_timeout

#: As the operators' commands have it (docs/upkeep.md).
COULD_NOT_RUN = 2


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
    lift_statement_timeout()
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        _fail(f"mirrorsite cannot start: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        _end_of_pipe()
    except Exception:  # noqa: BLE001 the outermost place
        # Python's own status would be 1, which means that differences were found.
        _fail(traceback.format_exc().rstrip())
    finally:
        # What was too short to be written until now can fail too.
        _flush()


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _end_of_pipe()
    except OSError as error:
        _fail(f"the output cannot be written: {error.strerror}")


def _end_of_pipe() -> NoReturn:
    """End as programs do whose reader has enough (`| head`)."""
    _drop_output()
    sys.exit(128 + signal.SIGPIPE)


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    _drop_output()
    sys.exit(COULD_NOT_RUN)


def _drop_output() -> None:
    """Let what is not written yet vanish: Python would fail at it once more.

    https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
