"""How the record's writes reach the database: by themselves, or several at a time.

What is written is `uploads.trail`'s matter. Of writes that threads want at the same
moment one thread writes all, in one transaction: a durable commit costs a database
about as much for one row as for ten, and on SQLite there is one writer anyway. No
thread hears that its own is written before it is.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from itertools import chain
from uuid import UUID

from django.conf import settings
from django.db import DataError, Error, IntegrityError, connection, transaction

from uploads import statements, summaries
from uploads.exceptions import TrailUnavailableError, TransitionError
from uploads.group_commit import GroupBusyError, GroupCommit, GroupLostError
from uploads.statements import Intent, Outcome

Write = Intent | Outcome

#: How long a group on PostgreSQL waits for a row that another session holds, such as an
#: operator's: all who come meanwhile wait behind it.
GROUP_LOCK_SECONDS = 1.0
#: How long the write of that row then waits by itself, behind which nobody does.
LOCK_SECONDS = 10.0

_sqlite_turn = threading.RLock()


@contextmanager
def write_transaction() -> Iterator[None]:
    """Open a transaction that writes.

    SQLite has one writer, and its busy handler sleeps ever longer while it waits:
    with the threads of a process taking turns at a lock, none starves. Neither wait is
    longer than `settings.SQLITE_LOCK_SECONDS`.

    Raises `TrailUnavailableError` when the database is away, does not commit, or is
    held by others for so long.
    """
    try:
        if connection.vendor == "sqlite":
            with _turn_on_sqlite(), transaction.atomic():
                yield
        else:
            with transaction.atomic():
                yield
    except Error as error:
        raise _unavailable(error) from error


@contextmanager
def _turn_on_sqlite() -> Iterator[None]:
    if not _sqlite_turn.acquire(timeout=settings.SQLITE_LOCK_SECONDS):
        raise TrailUnavailableError("the database is held by other writers")
    try:
        yield
    finally:
        _sqlite_turn.release()


def write(wanted: Write) -> None:
    """Write by itself, or together with what other threads write meanwhile.

    Raises `TransitionError` when an outcome's upload is not as it was, and
    `TrailUnavailableError` also when others have been writing for too long, or hold
    the row for so long.
    """
    if connection.in_atomic_block or not _is_plain(wanted):
        _write_alone(wanted)
        return
    try:
        group.submit(wanted)
    except GroupLostError as error:
        raise TrailUnavailableError("the record's writer was stopped") from error
    except GroupBusyError as error:
        raise TrailUnavailableError("the database is held by other writers") from error
    except _HeldError:
        _write_alone(wanted, lock_seconds=LOCK_SECONDS)


class _HeldError(Exception):
    """A row of the group is held; nothing of its part was written."""


def _is_plain(write: Write) -> bool:
    """Tell whether a write can neither wait for another's lock nor need a mark.

    An upload with an idempotency key may meet another request with the same key: all
    of a group would wait for that one's commit.
    """
    upload = write.upload
    return not (
        upload.idempotency_key
        or summaries.is_marked(upload.created_at)
        or (isinstance(write, Outcome) and write.only_if)
    )


def _write_group(writes: Sequence[Write]) -> list[Exception | None]:
    """Write for several threads; return for each None, or what its thread raises."""
    errors: list[Exception | None] = [None] * len(writes)
    parts = deque(_parts(writes))
    while parts:
        part = parts.popleft()
        try:
            found = _write_part([writes[index] for index in part])
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 each thread is told its own
            if error.__cause__ and statements.is_held(error.__cause__.__cause__):
                # Each tries by itself; only the one whose row it is waits any longer.
                error = _HeldError()
            elif _is_of_one(error):
                if len(part) > 1:
                    # Nothing of the others was written for it.
                    parts.extendleft([index] for index in reversed(part))
                    continue
            elif not _can_go_on():
                # Nor is the database there for the rest; each try may take its time.
                part = [*part, *chain(*parts)]
                parts.clear()
            found = [error, *(copy(error) for _ in part[1:])]
        for index, one in zip(part, found, strict=True):
            errors[index] = one
    return errors


def _is_of_one(error: Exception) -> bool:
    """Tell whether a write is at fault, and not the database.

    What is no `TrailUnavailableError` is said of its upload, or by the driver of a
    value that it cannot send.
    """
    return not isinstance(error, TrailUnavailableError) or isinstance(
        error.__cause__, IntegrityError | DataError
    )


def _can_go_on() -> bool:
    """Tell whether there was a connection at all; a broken one makes room for another."""
    if connection.vendor != "postgresql" or connection.connection is None:
        return False
    if connection.connection.closed:
        connection.close()
    return True


#: Of this process.
group: GroupCommit[Write] = GroupCommit(_write_group)


def _parts(writes: Sequence[Write]) -> Iterable[Sequence[int]]:
    """Return which of the writes, by their place, go into one transaction.

    On PostgreSQL a statement is one, and takes what is of one shape.
    """
    if connection.vendor != "postgresql":
        return [range(len(writes))]
    parts: defaultdict[Hashable, list[int]] = defaultdict(list)
    times: Counter[UUID] = Counter()
    for index, write in enumerate(writes):
        shape = (
            (write.before, *write.changes) if isinstance(write, Outcome) else "intent"
        )
        # No two of one upload: the second has to see what the first wrote.
        parts[shape, times[write.upload.pk]].append(index)
        times[write.upload.pk] += 1
    return parts.values()


def _write_part(writes: Sequence[Write]) -> Sequence[Exception | None]:
    if len(writes) == 1:
        _write_alone(writes[0], lock_seconds=GROUP_LOCK_SECONDS)
        return [None]
    return _write_together(writes)


def _write_together(writes: Sequence[Write]) -> list[Exception | None]:
    if connection.vendor != "postgresql":
        with write_transaction():
            return [_no_longer(w) if not _carry_out(w) else None for w in writes]
    intents = [write for write in writes if isinstance(write, Intent)]
    outcomes = [write for write in writes if isinstance(write, Outcome)]
    try:
        if intents:
            statements.insert_all(intents)
            return [None] * len(intents)
        written = statements.update_all(outcomes, lock_seconds=GROUP_LOCK_SECONDS)
    except Error as error:
        raise _unavailable(error) from error
    return [None if w.upload.pk in written else _no_longer(w) for w in outcomes]


def _write_alone(write: Write, *, lock_seconds: float | None = None) -> None:
    """Write and mark the hour that it changes.

    On PostgreSQL it is one statement where there is no mark, and commits by itself;
    then `lock_seconds` is how long it waits for its row, without it for ever.
    """
    upload = write.upload
    is_change = isinstance(write, Intent) or write.changes["status"] != write.before
    marks = is_change and summaries.is_marked(upload.created_at)
    if (
        connection.vendor == "postgresql"
        and not marks
        and not connection.in_atomic_block
    ):
        try:
            written = _carry_out(write, lock_seconds)
        except Error as error:
            raise _unavailable(error) from error
    else:
        with write_transaction():
            written = _carry_out(write)
            if written and is_change:
                summaries.mark_changed(upload.created_at)
    if not written:
        raise _no_longer(write)


def _carry_out(write: Write, lock_seconds: float | None = None) -> bool:
    """Write; tell whether there was anything to write."""
    if isinstance(write, Outcome):
        return statements.update(write, lock_seconds=lock_seconds)
    statements.insert(write)
    return True


def _no_longer(write: Write) -> TransitionError:
    before = write.before if isinstance(write, Outcome) else "new"
    return TransitionError(f"upload {write.upload.pk} is no longer {before}.")


def _unavailable(error: Error) -> TrailUnavailableError:
    return TrailUnavailableError(
        f"the database did not take the record: {type(error).__name__}"
    )
