from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sre.lib.processes import wait_until
from uploads.group_commit import GroupBusyError, GroupCommit, GroupLostError


class Database:
    """Carries out writes; the first group only when it is let."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.is_busy = threading.Lock()
        self.may_go_on = threading.Event()
        self.fails_with: dict[int, BaseException] = {}
        self.stops_at: int | None = None

    @property
    def written(self) -> list[int]:
        return [write for group in self.groups for write in group]

    def carry_out(self, writes: Sequence[int]) -> list[BaseException | None]:
        assert self.is_busy.acquire(blocking=False), "two groups at a time"
        try:
            self.groups.append(list(writes))
            if len(self.groups) == 1:
                assert self.may_go_on.wait(30)
            if self.stops_at in writes:
                raise SystemExit("stopped")
            return [self.fails_with.get(write) for write in writes]
        finally:
            self.is_busy.release()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def group(database: Database) -> GroupCommit[int]:
    return GroupCommit(database.carry_out)


def outcome(group: GroupCommit[int], write: int) -> BaseException | None:
    try:
        group.submit(write)
    except BaseException as error:  # noqa: BLE001 told to the test
        return error
    return None


def submit_behind_first(
    group: GroupCommit[int], database: Database, writes: Sequence[int]
) -> list[BaseException | None]:
    """Submit 0, and while it is carried out `writes`, in their order."""
    with ThreadPoolExecutor(len(writes) + 1) as pool:
        results = [pool.submit(outcome, group, 0)]
        assert wait_until(lambda: len(database.groups) == 1, seconds=30)
        for number, write in enumerate(writes, 1):
            results.append(pool.submit(outcome, group, write))
            assert wait_until(lambda n=number: group.waiting == n, seconds=30)  # type: ignore[misc]
        database.may_go_on.set()
        return [result.result(30) for result in results]


class TestSubmit:
    def test_nobody_else__at_once(
        self, group: GroupCommit[int], database: Database
    ) -> None:
        database.may_go_on.set()

        group.submit(1)
        group.submit(2)

        assert database.groups == [[1], [2]]

    def test_those_who_come_meanwhile__one_group_in_their_order(
        self, group: GroupCommit[int], database: Database
    ) -> None:
        results = submit_behind_first(group, database, [1, 2, 3, 4, 5])

        assert database.groups == [[0], [1, 2, 3, 4, 5]]
        assert results == [None] * 6

    def test_an_error__for_its_own_thread(
        self, group: GroupCommit[int], database: Database
    ) -> None:
        error = ValueError("of 2")
        database.fails_with[2] = error

        results = submit_behind_first(group, database, [1, 2, 3])

        assert results == [None, None, error, None]

    def test_the_writing_thread_is_stopped__others_are_told(
        self, group: GroupCommit[int], database: Database
    ) -> None:
        database.stops_at = 1

        results = submit_behind_first(group, database, [1, 2, 3])

        # 1 came first and so wrote for the three.
        assert isinstance(results[1], SystemExit)
        assert [type(result) for result in results[2:]] == [GroupLostError] * 2
        assert outcome(group, 4) is None

    def test_no_memory_to_gather_a_group__only_that_thread_fails(
        self,
        group: GroupCommit[int],
        database: Database,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        class Crowd(deque[Any]):
            has_failed = False

            def __iter__(self) -> Iterator[Any]:
                if len(self) > 1 and not self.has_failed:
                    self.has_failed = True
                    raise MemoryError
                return super().__iter__()

        monkeypatch.setattr(group, "_waiting", Crowd())

        results = submit_behind_first(group, database, [1, 2, 3])

        assert isinstance(results[1], MemoryError)
        assert [results[0], *results[2:]] == [None] * 3
        assert database.groups == [[0], [2, 3]]
        assert outcome(group, 4) is None

    def test_the_group_before_takes_too_long__not_written(
        self, database: Database
    ) -> None:
        group = GroupCommit(database.carry_out, patience_seconds=0.2)
        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(outcome, group, 0)
            assert wait_until(lambda: len(database.groups) == 1, seconds=30)
            others = [pool.submit(outcome, group, write) for write in (1, 2)]
            assert [type(one.result(30)) for one in others] == [GroupBusyError] * 2
            database.may_go_on.set()
            assert first.result(30) is None
        assert database.written == [0]
        assert outcome(group, 4) is None

    def test_its_own_group_takes_long__waits_for_what_comes_of_it(
        self, database: Database
    ) -> None:
        """Whose write is under way cannot be told that it was not written."""
        group = GroupCommit(database.carry_out, patience_seconds=60)
        is_under_way, may_end = threading.Event(), threading.Event()
        carry_out = database.carry_out

        def carry_out_slowly(writes: Sequence[int]) -> Sequence[BaseException | None]:
            if 1 in writes:
                is_under_way.set()
                assert may_end.wait(30)
            return carry_out(writes)

        group._carry_out = carry_out_slowly
        with ThreadPoolExecutor(3) as pool:
            results = [pool.submit(outcome, group, 0)]
            assert wait_until(lambda: len(database.groups) == 1, seconds=30)
            results.append(pool.submit(outcome, group, 1))
            assert wait_until(lambda: group.waiting == 1, seconds=30)
            # 1 is to write for both, however long it takes until here.
            group._patience = patience = 1.0
            results.append(pool.submit(outcome, group, 2))
            assert wait_until(lambda: group.waiting == 2, seconds=30)
            database.may_go_on.set()
            assert is_under_way.wait(30)
            with pytest.raises(TimeoutError):
                results[2].result(2 * patience)
            may_end.set()
            assert [one.result(30) for one in results] == [None] * 3

    @pytest.mark.parametrize("others", [[], [1, 2]])
    def test_interrupted_while_it_waits__not_written_and_the_rest_is(
        self, group: GroupCommit[int], database: Database, others: list[int]
    ) -> None:
        def interrupt() -> None:
            assert wait_until(lambda: group.waiting == 1, seconds=30)
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)

        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(outcome, group, 0)
            assert wait_until(lambda: len(database.groups) == 1, seconds=30)
            pool.submit(interrupt)
            with pytest.raises(KeyboardInterrupt):
                group.submit(9)
            rest = [pool.submit(outcome, group, write) for write in others]
            assert wait_until(lambda: group.waiting == len(others), seconds=30)
            database.may_go_on.set()

            assert [one.result(30) for one in [first, *rest]] == [None] * (
                1 + len(others)
            )
        assert 9 not in database.written
        assert outcome(group, 4) is None

    def test_many_threads__each_write_once_and_never_two_groups_at_a_time(
        self, group: GroupCommit[int], database: Database
    ) -> None:
        database.may_go_on.set()
        database.fails_with = {n: ValueError(n) for n in range(0, 2000, 7)}

        with ThreadPoolExecutor(16) as pool:
            results = list(pool.map(lambda n: outcome(group, n), range(2000)))

        assert sorted(database.written) == list(range(2000))
        assert results == [database.fails_with.get(n) for n in range(2000)]
