from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandParser
from django.db import connection, transaction

from mirrorsite.management.base import OperatorCommand
from uploads.accounts import recorded_saves


class Command(OperatorCommand):
    help = "Create a first superuser and print its password once; do nothing if one exists."

    so_far = "no administrator was created; if a password was printed, it is not valid"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="admin", help="default: %(default)s")

    # Committed only after the password is printed: otherwise it could be lost.
    @transaction.atomic
    def run(self, *, name: str, **options: Any) -> None:
        # Serialises runs, so that one of them creates the administrator.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('ensure_admin', 0))"
            )
        if User.objects.filter(is_superuser=True).exists():
            self.note("an administrator exists; nothing changed")
            return
        password = secrets.token_urlsafe(12)
        user = User(username=name, is_staff=True, is_superuser=True)
        user.set_password(password)
        user.full_clean()
        with recorded_saves(self.actor()):
            user.save()
        self.print(f"admin user: {name}")
        self.print(f"admin password: {password}")
        self.stdout.flush()
