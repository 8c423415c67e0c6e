"""Bring database, bucket, static files and the first admin up to date, in one process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import Error as DatabaseError


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
    try:
        django.setup()
        call_command("migrate", verbosity=0)
        if not (Path(settings.STATIC_ROOT) / "staticfiles.json").exists():
            call_command("collectstatic", interactive=False, verbosity=0)
        call_command("ensure_bucket", stdout=sys.stderr)
        call_command("ensure_admin", stderr=sys.stderr)
    except (ImproperlyConfigured, CommandError) as error:
        sys.exit(f"mirrorsite cannot start: {error}")
    except DatabaseError as error:
        sys.exit(f"mirrorsite cannot start: the database cannot be used: {error}")


if __name__ == "__main__":
    main()
