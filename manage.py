#!/usr/bin/env python3
"""Run mirrorsite's operator commands; `./manage.py help` lists them."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        # Without a traceback, while modules are being imported.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")

    from mirrorsite.command_line import run

    signal.signal(signal.SIGINT, handler)
    run(sys.argv)


if __name__ == "__main__":
    main()
