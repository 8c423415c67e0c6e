"""Django's own command; the user it has made is an event."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from uploads.accounts import recorded_saves
from uploads.trail import Caller


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        with recorded_saves(Caller(name="command:createsuperuser")):
            return super().handle(*args, **options)
