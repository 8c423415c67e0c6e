"""Free ports, and what listens or answers there. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import socket
from urllib.parse import urlsplit


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return `count` different TCP ports of 127.0.0.1 that are free now.

    They are below those that Linux gives to outgoing connections, of which one could
    take the port before a server listens there.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as probes:
        while len(ports) < count:
            # Not `random`: tests that run at the same time seed it alike.
            port = 10_000 + secrets.randbelow(22_768)
            probe = probes.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Return True if something accepts connections; `host` may be a name or IPv6 too."""
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
