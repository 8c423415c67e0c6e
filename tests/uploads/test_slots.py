from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from uploads.exceptions import StoreBusyError
from uploads.slots import StoreSlots


class TestStoreSlots:
    def test_none_moves__told_after_the_patience(self) -> None:
        slots = StoreSlots(1, patience_seconds=0.2)
        before = time.monotonic()
        with slots.one():
            with pytest.raises(StoreBusyError):
                slots._take()
            assert time.monotonic() - before >= 0.2
        with slots.one():
            pass

    def test_none_has_moved_for_long__told_at_once(self) -> None:
        """Those before have waited the patience: the next one need not wait again."""
        patience = 60.0
        slots = StoreSlots(1, patience_seconds=patience)
        before = time.monotonic()
        with slots.one():
            slots._moved_at -= patience
            with pytest.raises(StoreBusyError):
                slots._take()
        assert time.monotonic() - before < patience / 2

    def test_given_back_after_an_error(self) -> None:
        slots = StoreSlots(1, patience_seconds=0)
        for _ in range(3):
            with pytest.raises(ValueError, match="inside"), slots.one():
                raise ValueError("inside")

    def test_busy_but_moving__everybody_gets_one(self) -> None:
        """A queue longer than the patience is no reason to refuse while it moves."""
        slots = StoreSlots(2, patience_seconds=1.0)
        inside, most, lock = [0], [0], threading.Lock()

        def work(_: int) -> None:
            with slots.one():
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                threading.Event().wait(0.05)
                with lock:
                    inside[0] -= 1

        with ThreadPoolExecutor(32) as pool:
            list(pool.map(work, range(60)))  # a second and a half in all
        assert most == [2]
