"""The counts by which workers share out connections."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorsite.connection_counts import PLACES, ConnectionCounts


class TestConnectionCounts:
    def test_alone__nobody_to_compare_with(self) -> None:
        counts = ConnectionCounts()
        counts.hold(1, 7)
        assert counts.least(beside=1) is None

    def test_none_held__still_counts(self) -> None:
        counts = ConnectionCounts()
        counts.hold(2, 0)
        assert counts.least(beside=1) == 0

    def test_ended__forgotten(self) -> None:
        counts = ConnectionCounts()
        counts.hold(2, 0)
        counts.hold(3, 4)
        counts.free(2)
        assert counts.least(beside=1) == 4

    def test_number_beyond_the_places__comes_round(self) -> None:
        counts = ConnectionCounts()
        counts.hold(PLACES + 1, 3)
        assert counts.least(beside=PLACES + 1) is None
        assert counts.least(beside=2) == 3

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_another_process__sees_it(self) -> None:
        counts = ConnectionCounts()
        if (child := os.fork()) == 0:
            counts.hold(2, 5)
            os._exit(0)
        os.waitpid(child, 0)
        assert counts.least(beside=1) == 5

    @given(
        st.dictionaries(st.integers(1, PLACES - 1), st.integers(0, 1000), min_size=1)
    )
    def test_least__of_all_others(self, held: Mapping[int, int]) -> None:
        counts = ConnectionCounts()
        for worker, connections in held.items():
            counts.hold(worker, connections)
        for worker in held:
            others = [held[other] for other in held if other != worker]
            assert counts.least(beside=worker) == min(others, default=None)
