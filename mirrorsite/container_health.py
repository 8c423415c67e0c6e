"""The container's HEALTHCHECK: one GET of /api/health. Standard library only.

`python -m mirrorsite.container_health` exits with 0 if the answer is 200, else with 1.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

#: Wildcard addresses that a server binds to, and the address to connect to instead.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 it is not bound here


def address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Return the host and port at which gunicorn can be reached, from BIND."""
    bind = environment.get("BIND", "").strip() or "127.0.0.1:4545"
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    return _LOOPBACK.get(host, host), int(port)


def allowed_host(environment: Mapping[str, str]) -> str:
    """Return a host that ALLOWED_HOSTS accepts."""
    entries = environment.get("ALLOWED_HOSTS", "").split(",")
    allowed = [entry.strip() for entry in entries if entry.strip()] or ["localhost"]
    # ".example.org" matches example.org and its subdomains.
    return allowed[0].removeprefix(".")


def is_healthy(environment: Mapping[str, str]) -> bool:
    host, port = address(environment)
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request(
            "GET", "/api/health", headers={"Host": allowed_host(environment)}
        )
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_healthy(os.environ) else 1)
