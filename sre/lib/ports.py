"""Free ports, and what listens or answers there. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import socket
from urllib.parse import urlsplit


def free_port(host: str = "127.0.0.1") -> int:
    """Return a free port."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return as many different free ports."""
    with contextlib.ExitStack() as probes:
        ports = []
        for _ in range(count):
            probe = probes.enter_context(socket.socket())
            probe.bind((host, 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether something accepts connections there; IPv6 and names do as well."""
    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Return True if a web server answers there with anything but a 5xx."""
    address = urlsplit(url)
    # urllib would ask a proxy and follow redirects.
    connection = http.client.HTTPConnection(address.netloc, timeout=5)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
