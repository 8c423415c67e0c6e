from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection

from mirrorsite.postgresql.base import DatabaseWrapper
from mirrorsite.readiness import readiness


@pytest.fixture
def no_database(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let statements and new connections fail, as they do when PostgreSQL has stopped."""

    def fail(*arguments: Any, **options: Any) -> Any:
        raise OperationalError("no route to db.internal")

    monkeypatch.setattr(DatabaseWrapper, "get_new_connection", fail)
    readiness.forget()
    with connection.execute_wrapper(fail):
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
