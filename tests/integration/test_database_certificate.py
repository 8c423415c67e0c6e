"""The database's certificate, checked as the EKS root has it done.

A server that speaks TLS and then refuses everybody stands in for RDS: whoever is told
so has believed its certificate.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import dj_database_url
import pytest
from django.db.utils import ConnectionHandler
from psycopg import OperationalError

from tests.certificates import Authority

REFUSAL = "you have come through"


def _refuse(connection: socket.socket, context: ssl.SSLContext) -> None:
    connection.recv(8)  # the request for TLS
    connection.sendall(b"S")
    # Whoever does not believe the certificate goes away.
    with suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
        secure.recv(1024)
        fields = f"SFATAL\0C28000\0M{REFUSAL}\0\0".encode()
        secure.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        _refuse(connection, context)

        thread = Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def told(port: int, mode: str) -> str:
    url = f"postgres://mirrorsite:secret@localhost:{port}/mirrorsite?sslmode={mode}"
    connection = ConnectionHandler({"default": dj_database_url.parse(url)})["default"]
    with pytest.raises(OperationalError) as refused:
        connection.connect()
    return str(refused.value)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    authority = Authority(tmp_path, "authority")
    monkeypatch.setenv("PGSSLROOTCERT", str(authority.ca))
    return authority


class TestVerifyFull:
    def test_ours(self, authority):
        with serving(authority.context_for("localhost")) as port:
            assert REFUSAL in told(port, "verify-full")

    def test_signed_by_another(self, authority, tmp_path):
        """Somebody in between, who `require` would send the password to."""
        other = Authority(tmp_path, "other")
        with serving(other.context_for("localhost")) as port:
            assert "certificate verify failed" in told(port, "verify-full")

    def test_another_host(self, authority):
        """A database of somebody else's, by the same authority."""
        with serving(authority.context_for("db.example.org")) as port:
            assert "does not match host name" in told(port, "verify-full")

    def test_no_bundle(self, authority, monkeypatch):
        monkeypatch.setenv("PGSSLROOTCERT", "/nowhere.pem")
        with serving(authority.context_for("localhost")) as port:
            assert "does not exist" in told(port, "verify-full")


def test_require__believes_anybody(tmp_path, monkeypatch):
    """Why it is not enough."""
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving(Authority(tmp_path, "other").context_for("localhost")) as port:
        assert REFUSAL in told(port, "require")
