from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sre.lib.ports import free_ports, is_listening

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_free_ports__different_and_free():
    ports = free_ports(50)
    assert len(set(ports)) == 50
    for port in ports:
        assert not is_listening(port)
        with socket.create_server(("127.0.0.1", port)):
            assert is_listening(port)


@pytest.mark.skipif(not RANGE.exists(), reason="not on Linux")
def test_free_ports__not_those_of_outgoing_connections():
    lowest = int(RANGE.read_text().split()[0])
    assert max(free_ports(200)) < lowest
