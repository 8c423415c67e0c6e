"""psycopg, with connections that limit how long they wait for the server's answer.

Neither the server's timeouts nor those of TCP end the wait for a server process that is
stopped (SIGSTOP): its kernel still acknowledges what the process does not read.
"""

from __future__ import annotations

import select
from time import monotonic
from typing import Any

import psycopg
from psycopg import *  # noqa: F403 a DB-API module has all of these
from psycopg.pq import TransactionStatus


class TimedConnection(psycopg.Connection[Any]):
    """A connection that is closed when an answer takes over `answer_seconds`."""

    answer_seconds: float | None = None
    #: When the server answered last, by the monotonic clock.
    answered_at = 0.0

    def wait(
        self, gen: Any, interval: float = 0.1, timeout: float | None = None
    ) -> Any:
        if timeout is None:
            timeout = self.answer_seconds
        try:
            answer = super().wait(gen, interval, timeout)
            self.answered_at = monotonic()
            return answer
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            # The answer could still come, and would be taken for that of the next
            # statement.
            self.close()
            raise psycopg.OperationalError(
                f"the server did not answer within {timeout:g} seconds"
                if timeout is not None
                else str(error)
            ) from error

    def is_quiet(self) -> bool:
        """Return False if there is unread input, such as the end of a closed connection."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return not poll.poll(0)


connect = TimedConnection.connect
