"""Django's PostgreSQL backend, with a timeout for the server's answers.

Neither the server's timeouts nor those of TCP end the wait for a server process that is
stopped (SIGSTOP): its kernel still acknowledges what the process does not read.
"""

from __future__ import annotations

import select
import sys
from time import monotonic
from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

#: How long the health check of a connection waits for an answer.
HEALTH_CHECK_SECONDS = 3
#: A connection with an answer as recent as this is checked without a statement.
RECENT_SECONDS = 1.0
#: The formats that psycopg can parse. The role, the database or PGDATESTYLE may set
#: others.
_STYLES = {"DateStyle": "ISO", "IntervalStyle": "postgres"}
#: The settings of a session that cannot write.
_READ_ONLY = ("default_transaction_read_only", "in_hot_standby")


class TimedConnection(psycopg.Connection[Any]):
    """A connection that is closed if an answer takes longer than `answer_seconds`."""

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
        except psycopg.OperationalError as error:
            # ACTIVE: a statement was sent, and its answer has not arrived.
            is_unanswered = self.pgconn.transaction_status == TransactionStatus.ACTIVE
            if timeout is None or not is_unanswered:
                raise
            # A late answer would be read as that of the next statement.
            self.close()
            raise psycopg.OperationalError(
                f"the server did not answer within {timeout:g} seconds"
            ) from error
        self.answered_at = monotonic()
        return answer


class DatabaseWrapper(base.DatabaseWrapper):
    """Waits for each answer up to the `ANSWER_SECONDS` in the database's settings."""

    #: psycopg's module as Django uses it, with the connections above.
    Database = SimpleNamespace(**vars(psycopg) | {"connect": TimedConnection.connect})

    def get_new_connection(self, conn_params: Any) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.answer_seconds = self.settings_dict.get("ANSWER_SECONDS")
        # Statements are prepared only if they ask for it, as uploads.audit.log does.
        connection.prepare_threshold = sys.maxsize
        return connection

    def init_connection_state(self) -> None:
        super().init_connection_state()
        reported = self.connection.info.parameter_status
        for name, style in _STYLES.items():
            # DateStyle is reported as "ISO, MDY". Most connections need no statement.
            if (reported(name) or "").split(",")[0] != style:
                with self.cursor() as cursor:
                    cursor.execute(f"SET {name} TO {style}")

    def is_usable(self) -> bool:
        connection = self.connection
        if connection is None or connection.closed:
            return False
        reported = connection.info.parameter_status
        if self.errors_occurred and "on" in map(reported, _READ_ONLY):
            # A new session may be allowed to write by now, or reach the new primary.
            return False
        if monotonic() - connection.answered_at < RECENT_SECONDS:
            # No input is expected: if there is some, the server has closed the connection.
            poll = select.poll()
            poll.register(connection.fileno(), select.POLLIN)
            return not poll.poll(0)
        before = connection.answer_seconds
        connection.answer_seconds = HEALTH_CHECK_SECONDS
        try:
            return super().is_usable()
        finally:
            connection.answer_seconds = before
