"""What this project wants of a database beyond Django's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection


@contextmanager
def hurried(seconds: float) -> Iterator[None]:
    """Wait for SQLite's write lock so long at most, within.

    For what can be left out, or counted elsewhere: the lock may be held for longer than
    a client waits. On PostgreSQL, where such writers do not wait for each other, it
    changes nothing.
    """
    if connection.vendor != "sqlite":
        yield
        return
    _set_patience(seconds)
    try:
        yield
    finally:
        _set_patience(settings.SQLITE_LOCK_SECONDS)


def _set_patience(seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
