"""Django's PostgreSQL backend, with a timeout for the server's answers."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

from django.db.backends.postgresql import base

from mirrorsite.postgresql import driver

#: How long the health check of a connection waits for an answer.
HEALTH_CHECK_SECONDS = 3
#: The formats that psycopg can parse. The role, the database or PGDATESTYLE may set
#: others.
_STYLES = {"DateStyle": "ISO", "IntervalStyle": "postgres"}
#: A connection that was answered this recently is checked without a statement.
RECENT_SECONDS = 1.0


class DatabaseWrapper(base.DatabaseWrapper):
    """Waits up to ANSWER_SECONDS of the database's settings for each answer."""

    Database = driver

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
        if monotonic() - connection.answered_at < RECENT_SECONDS:
            return bool(connection.is_quiet())
        before = connection.answer_seconds
        connection.answer_seconds = HEALTH_CHECK_SECONDS
        try:
            return super().is_usable()
        finally:
            connection.answer_seconds = before
