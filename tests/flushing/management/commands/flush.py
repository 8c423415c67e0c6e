"""Django's `flush`, which empties the database after a transactional test."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db import connections

from uploads.audit import triggers


class Command(flush.Command):
    """Empties the append-only tables too, as only their owner can."""

    def handle(self, **options: Any) -> None:
        with triggers.removed(connections[options["database"]]):
            super().handle(**options)
