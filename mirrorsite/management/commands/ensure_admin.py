from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandParser

from mirrorsite.actors import Actor
from uploads.accounts import recorded_saves


class Command(BaseCommand):
    help = "Create a first superuser and print its password once; do nothing if one exists."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="admin", help="default: %(default)s")

    def handle(self, *, name: str, **options: Any) -> None:
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            self.stderr.write("an administrator exists; nothing changed")
            return
        password = secrets.token_urlsafe(12)
        with recorded_saves(Actor(name="command:ensure_admin")):
            users.create_superuser(username=name, password=password)
        self.stdout.write(f"admin user: {name}\nadmin password: {password}")
