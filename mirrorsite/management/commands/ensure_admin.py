from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandParser
from django.db import transaction

from mirrorsite.management.base import OperatorCommand
from uploads.accounts import recorded_saves


class Command(OperatorCommand):
    help = "Create a first superuser and print its password once; do nothing if one exists."

    so_far = "no administrator was created, and a printed password is not valid"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="admin", help="default: %(default)s")

    def run(self, *, name: str, **options: Any) -> None:
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            self.warn("an administrator exists; nothing changed")
            return
        password = secrets.token_urlsafe(12)
        # Committed once the password is printed: otherwise it could be lost.
        with transaction.atomic(), recorded_saves(self.actor()):
            users.create_superuser(username=name, password=password)
            self.print(f"admin user: {name}")
            self.print(f"admin password: {password}")
            self.stdout.flush()
