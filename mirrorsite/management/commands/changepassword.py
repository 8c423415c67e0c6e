"""Django's command; the change is also recorded as an event."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword

from mirrorsite.actors import Actor
from uploads.accounts import recorded_saves


class Command(changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        with recorded_saves(Actor(name="command:changepassword")):
            return super().handle(*args, **options)
