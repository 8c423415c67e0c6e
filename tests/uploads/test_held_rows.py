"""A row that another session holds, such as an operator's: who waits for it, how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from sre.lib.processes import wait_until
from tests.uploads.test_writing import begun, store, together
from uploads import writing
from uploads.exceptions import TrailUnavailableError
from uploads.models import Status, Upload, UploadEvent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "GROUP_LOCK_SECONDS", 0.05)


@contextmanager
def held(upload: Upload) -> Iterator[Callable[[], None]]:
    """Hold a row by an UPDATE that is not committed; yields what lets go of it."""
    holds, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Upload.objects.filter(pk=upload.pk).update(user_agent="psql")
                holds.set()
                assert may_end.wait(60)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        session = pool.submit(hold)
        try:
            assert holds.wait(30)
            yield may_end.set
        finally:
            may_end.set()
            session.result(30)


def in_a_thread(pool: ThreadPoolExecutor, work: Callable[[], None]) -> Future[None]:
    def do() -> None:
        try:
            work()
        finally:
            connection.close()

    return pool.submit(do)


def status_of(upload: Upload) -> str:
    return Upload.objects.values_list("status", flat=True).get(pk=upload.pk)


def test_group__the_others_are_written_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others, upload = [begun(), begun()], begun()
    with held(upload) as let_go, ThreadPoolExecutor(1) as pool:
        works = [store(u) for u in (others[0], upload, others[1])]
        done = pool.submit(together, works, monkeypatch)
        for other in others:
            assert wait_until(lambda u=other: status_of(u) == Status.STORED, seconds=30)  # type: ignore[misc]
        assert not done.done()
        let_go()
        assert done.result(30) == [None, None, None]
    for one in (*others, upload):
        assert UploadEvent.objects.filter(upload=one, action="stored").count() == 1


def test_group_of_one__the_next_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    upload, other = begun(), begun()
    with held(upload) as let_go, ThreadPoolExecutor(1) as pool:
        waiting = in_a_thread(pool, store(upload))
        assert wait_until(lambda: writing.group._leader is not None, seconds=30)
        store(other)()
        assert status_of(other) == Status.STORED
        assert not waiting.done()
        let_go()
        waiting.result(30)
    assert status_of(upload) == Status.STORED


@pytest.mark.parametrize("in_group", [True, False])
def test_for_too_long__pending_and_said(
    monkeypatch: pytest.MonkeyPatch, in_group: bool
) -> None:
    monkeypatch.setattr(writing, "LOCK_SECONDS", 0.1)
    upload, other = begun(), begun()
    with held(upload):
        if in_group:
            error, nothing = together([store(upload), store(other)], monkeypatch)
            assert nothing is None
            assert isinstance(error, TrailUnavailableError)
        else:
            with pytest.raises(TrailUnavailableError):
                store(upload)()
        assert status_of(upload) == Status.PENDING
    assert UploadEvent.objects.filter(upload=upload, action="stored").count() == 0


def test_the_connection_goes_on_without_the_limit() -> None:
    """It is of the one statement; others have the limit of the connection."""
    store(begun())()
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("5s",)


def test_within_a_transaction__without_the_limit() -> None:
    """Or it would be that of all that follows in the transaction."""
    upload = begun()
    with transaction.atomic():
        store(upload)()
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("5s",)
