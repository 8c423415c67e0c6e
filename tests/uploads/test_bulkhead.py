from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from sre.lib.processes import wait_until
from uploads import services
from uploads.bulkhead import Bulkhead
from uploads.exceptions import StoreBusyError, StoreRefusedError, StoreUnavailableError
from uploads.models import new_upload_id


def bulkhead(permits: int, per_client: int | None = None, **seconds: float) -> Bulkhead:
    wait = {"max_wait_seconds": 30.0, "stall_seconds": 30.0} | seconds
    return Bulkhead(permits, per_client or permits, **wait)


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_hung__refused_when_nothing_moves_and_the_next_at_once():
    """The wait ends long before the one for a permit among requests that go well."""
    full = bulkhead(1, stall_seconds=0.5)
    began = time.monotonic()
    with full.permit("a"):
        with pytest.raises(StoreBusyError), full.permit("b"):
            pass
        refused = time.monotonic()
        assert 0.5 <= refused - began < 15
        with pytest.raises(StoreBusyError), full.permit("c"):
            pass
        assert time.monotonic() - refused < 0.4
    for _ in range(3):  # the permit of those who gave up is not lost
        assert _pass_through(full, "d") == "done"


def test_making_a_payload__is_progress(monkeypatch):
    """A request waits three times as long as a hung store is given."""
    full = bulkhead(1, stall_seconds=0.4)
    monkeypatch.setattr(services, "store_bulkhead", lambda: full)
    with threads() as pool:
        with full.permit("large"):
            small = _waiting(pool, full, "small")
            chunks = services.payload_of(new_upload_id(), 2**20).chunks()
            for _ in zip(chunks, range(12), strict=False):
                threading.Event().wait(0.1)
            assert not small.done()
        assert small.result(30) == "done"


def test_busy_for_too_long__refused():
    full = bulkhead(1, max_wait_seconds=0.3)
    with full.permit("a"), pytest.raises(StoreBusyError), full.permit("b"):
        pass


@pytest.mark.parametrize(
    ("error", "is_progress"),
    [
        (StoreUnavailableError("no answer", outcome_unknown=True), False),
        (StoreRefusedError("403"), True),
    ],
)
def test_only_an_answer_is_progress(error, is_progress):
    """While a request hangs, another ends: does a third still wait."""
    full = bulkhead(2, per_client=1, stall_seconds=0.5)
    with full.permit("hangs"):
        with pytest.raises(type(error)):
            _fail_slowly(full, error)
        began = time.monotonic()
        with pytest.raises(StoreBusyError), full.permit("hangs"):
            pass
    assert (time.monotonic() - began > 0.3) is is_progress


def _fail_slowly(full: Bulkhead, error: Exception) -> None:
    with full.permit("ends"):
        threading.Event().wait(0.4)
        raise error


def test_one_client__leaves_a_permit_for_others():
    full = bulkhead(3, per_client=2, stall_seconds=0.1)
    with ExitStack() as holding:
        for _ in range(2):
            holding.enter_context(full.permit("greedy"))
        with pytest.raises(StoreBusyError), full.permit("greedy"):
            pass
        with full.permit("other"):
            pass


def test_waiting_client_at_its_limit__others_pass():
    full = bulkhead(2, per_client=1)
    with threads() as pool:
        with full.permit("greedy"):
            waiting = _waiting(pool, full, "greedy")
            with full.permit("other"):
                assert not waiting.done()
        assert waiting.result(30) == "done"


def test_waiting__first_come_first_served():
    full = bulkhead(1)
    order: list[str] = []
    with threads() as pool:
        with full.permit("holder"):
            waiting = [_waiting(pool, full, name, order) for name in "abcdef"]
        for one in waiting:
            one.result(30)
    assert order == list("abcdef")


def test_two_freed_at_once__both_are_taken():
    full = bulkhead(2)
    for _ in range(20):
        together = threading.Barrier(2, timeout=10)

        def meet(together: threading.Barrier = together) -> None:
            with full.permit("a"):
                together.wait()

        with threads() as pool:
            with full.permit("a"), full.permit("a"):
                meeting = [pool.submit(meet) for _ in range(2)]
                assert wait_until(lambda: full.waiting == 2, seconds=30)
            for one in meeting:
                one.result(30)


def test_never_more_than_there_are_permits__and_everybody_gets_one():
    full = bulkhead(2)
    inside, most, lock = [0], [0], threading.Lock()

    def work(_: int) -> None:
        with full.permit("a"):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.005)
            with lock:
                inside[0] -= 1

    with threads() as pool:
        list(pool.map(work, range(100)))
    assert most == [2]


def _pass_through(full: Bulkhead, client: str, order: list[str] | None = None) -> str:
    with full.permit(client):
        if order is not None:
            order.append(client)
    return "done"


def _waiting(
    pool: ThreadPoolExecutor,
    full: Bulkhead,
    client: str,
    order: list[str] | None = None,
) -> Future[str]:
    """Start a request and return when it waits."""
    before = full.waiting
    task = pool.submit(_pass_through, full, client, order)
    assert wait_until(lambda: full.waiting == before + 1, seconds=30)
    return task
