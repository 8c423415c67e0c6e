#!/usr/bin/env python3
"""Run mirrorsite's operator commands; `./manage.py help` lists them."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line, get_commands

from mirrorsite.database import lift_statement_timeout
from mirrorsite.exit_status import ExitStatus
from mirrorsite.standard_streams import OutputError, guard_standard_streams


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
    guard_standard_streams()
    lift_statement_timeout()
    try:
        try:
            execute_from_command_line(sys.argv)
        except SystemExit as error:
            # Django ends with 1 for an unknown command.
            if error.code == 1 and sys.argv[1:] and sys.argv[1] not in get_commands():
                sys.exit(ExitStatus.COULD_NOT_RUN)
            raise
        finally:
            # Writing what is still buffered can fail too.
            sys.stdout.flush()
    except OutputError as error:
        _fail(str(error), ExitStatus.OUTPUT_FAILED)
    except ImproperlyConfigured as error:
        _fail(f"mirrorsite cannot start: {error}", ExitStatus.MISCONFIGURED)
    except KeyboardInterrupt:
        _fail("interrupted", ExitStatus.INTERRUPTED)
    except Exception:  # noqa: BLE001 the outermost place
        # Python's own status would be 1, which means that differences were found.
        _fail(traceback.format_exc().rstrip(), ExitStatus.COULD_NOT_RUN)


def _fail(message: str, status: ExitStatus) -> NoReturn:
    with suppress(OutputError):
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    sys.exit(status)


if __name__ == "__main__":
    main()
