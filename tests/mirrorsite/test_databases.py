"""What happens while another process holds SQLite's only write lock."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection

from mirrorsite.databases import hurried
from mirrorsite.rate_counters import DatabaseCounter
from mirrorsite.tokens.models import Scope, Token
from mirrorsite.tokens.services import create_token
from uploads.exceptions import TrailUnavailableError
from uploads.trail import write_transaction

pytestmark = pytest.mark.django_db(transaction=True)

#: More than any of these waits, and less than they all would one after another.
SOON = 5.0


@pytest.fixture(autouse=True)
def held_by_another(settings: Any) -> Iterator[sqlite3.Connection]:
    if connection.vendor != "sqlite":
        pytest.skip("SQLite only; PostgreSQL has no such lock")
    settings.SQLITE_LOCK_SECONDS = 0.5
    with hurried(0):
        pass  # from here on this thread's connection waits as long as is set above
    name = str(connection.settings_dict["NAME"])
    with closing(sqlite3.connect(name, uri=name.startswith("file:"))) as other:
        yield other
    connection.close()  # or it would wait no longer in the tests that come after


def lock(other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")


class TestHeld:
    def test_writers__each_is_told_in_time(
        self, held_by_another: sqlite3.Connection
    ) -> None:
        """They wait for each other as well, and not one after another."""

        def write(_: int) -> str:
            try:
                with hurried(0.4), write_transaction():
                    return "written"
            except TrailUnavailableError:
                return "unavailable"
            finally:
                connection.close()

        lock(held_by_another)
        begun = time.monotonic()
        with ThreadPoolExecutor(24) as pool:
            assert list(pool.map(write, range(24))) == ["unavailable"] * 24
        assert time.monotonic() - begun < SOON

        held_by_another.rollback()
        assert write(0) == "written"

    def test_turn__not_for_ever(self, held_by_another: sqlite3.Connection) -> None:
        def write() -> None:
            with write_transaction():
                pass

        with (
            write_transaction(),
            ThreadPoolExecutor(1) as pool,
            pytest.raises(TrailUnavailableError, match="other writers"),
        ):
            pool.submit(write).result()

    def test_counter__gives_up_early(self, held_by_another: sqlite3.Connection) -> None:
        lock(held_by_another)
        with pytest.raises(OperationalError):
            DatabaseCounter().increment("key", 60)
        held_by_another.rollback()
        assert DatabaseCounter().increment("key", 60) == 1

    def test_last_use__left_out(
        self, held_by_another: sqlite3.Connection, settings: Any, client: Any
    ) -> None:
        owner = User.objects.create_user("ann")
        _, secret = create_token(owner=owner, name="t", scopes=[Scope.READ])
        settings.SQLITE_LOCK_SECONDS = 60
        lock(held_by_another)
        begun = time.monotonic()
        answer = client.get(
            "/api/uploads", headers={"Authorization": f"Bearer {secret}"}
        )
        assert answer.status_code == 200
        assert time.monotonic() - begun < SOON
        assert Token.objects.get().last_used_at is None
