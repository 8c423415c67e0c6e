"""The commands of the trail, run as their operators run them."""

from __future__ import annotations

from io import StringIO

from django.core.management import call_command
from django.core.management.base import CommandError


def run(name: str, *arguments: str) -> tuple[int, str]:
    """Return a command's exit status and what it printed."""
    out = StringIO()
    try:
        call_command(name, *arguments, stdout=out, stderr=out)
    except CommandError as error:
        return error.returncode, out.getvalue() + str(error)
    return 0, out.getvalue()
