"""The container's HEALTHCHECK: ask /api/health as a client would. Standard library only.

`python -m mirrorsite.container_health` ends with 0 when the service answers, else 1.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping


def port_and_host(environment: Mapping[str, str]) -> tuple[int, str]:
    """Return the port gunicorn listens on and a Host that it lets in."""
    port = int(environment.get("BIND", "127.0.0.1:4545").rpartition(":")[2])
    allowed = environment.get("ALLOWED_HOSTS", "").split(",")
    # ".example.org" lets in example.org and everything below it.
    return port, allowed[0].strip().removeprefix(".") or "localhost"


def is_healthy(environment: Mapping[str, str]) -> bool:
    port, host = port_and_host(environment)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/api/health", headers={"Host": host})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_healthy(os.environ) else 1)
