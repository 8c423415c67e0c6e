"""Django's command; concurrent runs are serialised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.core.management.commands import migrate
from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

_KEY = "hashtextextended('migrate', 0)"


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        # Kubernetes may start a job's pod twice. Django's migrate takes no lock: the slower
        # run would fail to create a table that exists already.
        with _lock(connections[options["database"]]):
            super().handle(*args, **options)


@contextmanager
def _lock(connection: BaseDatabaseWrapper) -> Iterator[None]:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        # Wait for the other run without a timeout. The migration itself keeps its
        # lock_timeout: while it waits for a table lock, requests wait behind it.
        cursor.execute("SET LOCAL lock_timeout = 0")
        cursor.execute(f"SELECT pg_advisory_lock({_KEY})")
    try:
        yield
    finally:
        with suppress(Error), connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_unlock({_KEY})")
