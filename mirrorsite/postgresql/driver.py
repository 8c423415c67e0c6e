"""psycopg, with connections that limit how long they wait for the server's answer.

The server's own timeouts and those of TCP do not help when its process is stopped: its
kernel still acknowledges what it does not read.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import *  # noqa: F403 a DB-API module has all of these
from psycopg.pq import TransactionStatus


class TimedConnection(psycopg.Connection[Any]):
    """A connection that is closed when an answer takes over `answer_seconds`."""

    answer_seconds: float | None = None

    def wait(
        self, gen: Any, interval: float = 0.1, timeout: float | None = None
    ) -> Any:
        if timeout is None:
            timeout = self.answer_seconds
        try:
            return super().wait(gen, interval, timeout)
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


connect = TimedConnection.connect
