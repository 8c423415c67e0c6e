"""A PostgreSQL that is gone without a word must not hold a connection for long."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing
from select import select

import pytest
from psycopg import conninfo, pq

from mirrorsite import settings


@pytest.mark.skipif(sys.platform != "linux", reason="names of Linux")
def test_dead_peer__noticed_within_seconds() -> None:
    """Nobody can pull a cable here: what the kernel was told is read back."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        where = conninfo.make_conninfo(
            host="127.0.0.1", port=port, **settings._postgres_options
        )
        connection = pq.PGconn.connect_start(where.encode())
        try:
            for _ in range(3):  # to where the first answer is waited for
                select([], [connection.socket], [], 5)
                if connection.connect_poll() == pq.PollingStatus.READING:
                    break
            told = socket.socket(fileno=os.dup(connection.socket))
        finally:
            connection.finish()
    with closing(told):
        tcp = socket.IPPROTO_TCP
        assert 0 < told.getsockopt(tcp, socket.TCP_USER_TIMEOUT) <= 10_000
        assert told.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        probes = told.getsockopt(tcp, socket.TCP_KEEPCNT)
        between = told.getsockopt(tcp, socket.TCP_KEEPINTVL)
        assert told.getsockopt(tcp, socket.TCP_KEEPIDLE) + probes * between <= 20
