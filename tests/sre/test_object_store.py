"""The embedded S3 server, as others on the machine see it."""

from __future__ import annotations

import re

import psutil
import pytest

from sre.lib.object_store import ObjectStore

pytestmark = pytest.mark.integration


def ports_given(server: psutil.Process) -> list[int]:
    given = re.findall(r"port(?:\.grpc)?=(\d+)", " ".join(server.cmdline()))
    return [int(port) for port in given]


class TestObjectStore:
    def test_listens__on_loopback_at_its_own_ports_alone(
        self, object_store: ObjectStore
    ) -> None:
        assert object_store.process is not None
        server = psutil.Process(object_store.process.pid)
        listening = [
            connection.laddr
            for connection in server.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert {address.ip for address in listening} == {"127.0.0.1"}
        # A port that two servers want is a door from the one into the other.
        assert {address.port for address in listening} <= set(ports_given(server))
        assert object_store.port in {address.port for address in listening}
