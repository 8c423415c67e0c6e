"""What the service's connections to PostgreSQL wait for, and how long."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from select import select
from typing import Any

import psycopg
import pytest
from django.db import Error, InternalError, OperationalError, connection
from django.db.utils import ConnectionHandler
from psycopg import conninfo, pq

from mirrorsite.database import (
    connection_settings,
    is_unavailable,
    read_only_settings,
)
from tests.conftest import service_database_url
from tests.support import run_program


def show(setting: str, opened: Any = connection) -> str:
    with opened.cursor() as cursor:
        cursor.execute(f"SHOW {setting}")
        return str(cursor.fetchone()[0])


@contextmanager
def opened(settings: dict[str, Any]) -> Iterator[Any]:
    """Yield a connection of Django's with these settings."""
    handler = ConnectionHandler({"default": settings})
    try:
        yield handler["default"]
    finally:
        handler.close_all()


@pytest.mark.django_db
@pytest.mark.parametrize("date", ["German", "SQL, DMY", "Postgres"])
@pytest.mark.parametrize("interval", ["postgres_verbose", "iso_8601"])
def test_styles__of_environment_and_role_do_not_matter(monkeypatch, date, interval):
    """Psycopg reads no times but in its own style."""
    monkeypatch.setenv("PGDATESTYLE", date)
    url = f"{service_database_url()}?options=-c%20IntervalStyle%3D{interval}"
    with opened(connection_settings(url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT now(), interval '1 day 2 hours'")
        now, length = cursor.fetchone()
    assert now.tzinfo is not None
    assert length == timedelta(days=1, hours=2)


@pytest.mark.django_db(transaction=True)
def test_settings_of_the_role__overridden_but_not_those_of_the_url():
    url = service_database_url()
    role = f"ALTER ROLE CURRENT_USER IN DATABASE {connection.settings_dict['NAME']}"
    with connection.cursor() as cursor:
        cursor.execute(f"{role} SET search_path = other")
        cursor.execute(f"{role} SET quote_all_identifiers = on")
        cursor.execute(f"{role} SET DateStyle = 'German'")
        cursor.execute(f"{role} SET default_transaction_isolation = 'serializable'")
        try:
            with opened(connection_settings(url)) as other:
                assert show("search_path", other) == "public"
                assert show("quote_all_identifiers", other) == "off"
                assert show("DateStyle", other).startswith("ISO")
                assert show("transaction_isolation", other) == "read committed"
            url += "?options=-c%20search_path%3Dmirrorsite"
            with opened(connection_settings(url)) as other:
                assert show("search_path", other) == "mirrorsite"
        finally:
            cursor.execute(f"{role} RESET ALL")


@pytest.mark.django_db
class TestTimeouts:
    def test_options_of_the_url__win(self):
        options = "-c%20lock_timeout%3D250ms%20-c%20application_name%3Dtests"
        url = f"{service_database_url()}?options={options}"
        with opened(connection_settings(url)) as other:
            assert show("lock_timeout", other) == "250ms"
            assert show("statement_timeout", other) == "30s"
            assert show("application_name", other) == "tests"
        assert show("lock_timeout") == "5s"

    @pytest.mark.django_db(transaction=True)
    def test_row_held_by_another_session__given_up(self):
        url = f"{service_database_url()}?options=-c%20lock_timeout%3D50ms"
        with (
            psycopg.connect(service_database_url()) as holder,
            opened(connection_settings(url)) as other,
            other.cursor() as cursor,
        ):
            holder.execute("SELECT * FROM auth_group FOR UPDATE")
            with pytest.raises(OperationalError, match="lock timeout"):
                cursor.execute("UPDATE auth_group SET name = name")

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize(
        "name", ["transaction_timeout", "idle_in_transaction_session_timeout"]
    )
    def test_server_ends_the_session__the_database_is_unavailable(self, name):
        with (
            opened(connection_settings(service_database_url())) as other,
            other.cursor() as cursor,
        ):
            cursor.execute(f"SET {name} = 50")
            cursor.execute("BEGIN")
            assert select([other.connection], [], [], 30)[0]
            with pytest.raises(Error) as caught:
                cursor.execute("SELECT 1")
            assert is_unavailable(caught.value)

    def test_metrics__read_only_and_short(self):
        settings = read_only_settings(
            connection_settings(service_database_url()), seconds=2
        )
        with opened(settings) as other:
            assert show("statement_timeout", other) == "2s"
            assert show("default_transaction_read_only", other) == "on"


@pytest.mark.django_db(transaction=True)
def test_read_only__writes_again_when_the_database_does():
    """The setting is that of a session, which would last for minutes."""
    with opened(connection_settings(service_database_url())) as other:
        with other.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
            with pytest.raises(InternalError, match="read-only"):
                cursor.execute("CREATE TABLE refused ()")
        other.close_if_unusable_or_obsolete()
        assert show("transaction_read_only", other) == "off"


@pytest.mark.django_db
def test_command__no_limit_for_a_statement_and_a_sentence_for_an_error():
    code = (
        "from django.db import connection; cursor = connection.cursor();"
        " [print(cursor.execute(f'SHOW {name}').fetchone()[0])"
        " for name in ('statement_timeout', 'lock_timeout')];"
        " cursor.execute('DELETE FROM django_session')"
    )
    url = f"{service_database_url()}?options=-c%20default_transaction_read_only%3Don"
    done = run_program(
        [sys.executable, "manage.py", "shell", "-v0", "-c", code],
        env=os.environ | {"DATABASE_URL": url},
    )
    assert done.returncode == 2
    assert done.stdout.split() == ["0", "5s"]
    assert done.stderr == (
        "the database cannot be used:"
        " cannot execute DELETE in a read-only transaction\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="socket options of Linux")
def test_dead_peer__noticed_within_seconds():
    """No test can pull a cable: the socket options are read back."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        settings = connection_settings(f"postgresql://127.0.0.1:{port}/none")
        where = conninfo.make_conninfo(
            host="127.0.0.1", port=port, **settings["OPTIONS"]
        )
        connection = pq.PGconn.connect_start(where.encode())
        try:
            for _ in range(3):  # until it waits for the first answer
                select([], [connection.socket], [], 5)
                if connection.connect_poll() == pq.PollingStatus.READING:
                    break
            client = socket.socket(fileno=os.dup(connection.socket))
        finally:
            connection.finish()
    with closing(client):
        tcp = socket.IPPROTO_TCP
        assert 0 < client.getsockopt(tcp, socket.TCP_USER_TIMEOUT) <= 10_000
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        probes = client.getsockopt(tcp, socket.TCP_KEEPCNT)
        between = client.getsockopt(tcp, socket.TCP_KEEPINTVL)
        assert client.getsockopt(tcp, socket.TCP_KEEPIDLE) + probes * between <= 20


class TestServerThatDoesNotAnswer:
    @pytest.mark.django_db(transaction=True)
    def test_statement__given_up_and_the_connection_replaced(self):
        """The server answers later than we wait, as one that is stopped does."""
        settings = connection_settings(service_database_url()) | {"ANSWER_SECONDS": 0.5}
        with opened(settings) as other:
            other.ensure_connection()
            pid = other.connection.info.backend_pid
            with (
                other.cursor() as cursor,
                pytest.raises(OperationalError, match=r"within 0\.5 seconds"),
            ):
                cursor.execute("SELECT pg_sleep(60)")
            assert other.connection.closed  # a late answer reaches no other statement
            other.close_if_unusable_or_obsolete()
            with other.cursor() as cursor:  # it would sleep on
                cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
            assert show("lock_timeout", other) == "5s"

    @pytest.mark.django_db(transaction=True)
    def test_refused_statement__the_connection_stays(self):
        with opened(connection_settings(service_database_url())) as other:
            with other.cursor() as cursor:
                cursor.execute("SET statement_timeout = 50")
                with pytest.raises(OperationalError, match="statement timeout"):
                    cursor.execute("SELECT pg_sleep(60)")
            assert show("statement_timeout", other) == "50ms"
