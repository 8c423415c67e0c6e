"""What a worker needs to answer a short request without gunicorn's response object.

gunicorn makes an environment of two dozen entries and judges each header field of each
answer anew: for the liveness probe and the mirror that was a sixth of the work. Which
requests are short tells `mirrorsite.short_requests`, and what is answered
`mirrorsite.fast_path`. No Django here, nor prometheus_client.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Any, Protocol

from gunicorn import SERVER, util


class Answer(Protocol):
    """What `mirrorsite.fast_path.FastPath.answer` returns."""

    @property
    def head(self) -> bytes: ...

    @property
    def body(self) -> bytes: ...


class Sent:
    """What the access log reads of gunicorn's response."""

    __slots__ = ("sent", "sock")

    status_code = 200

    def __init__(self, sock: Any, sent: int) -> None:
        """`sent` is in bytes, of the body alone."""
        self.sock = sock
        self.sent = sent


def environ_of(request: Any, client: Any) -> dict[str, Any] | None:
    """Return what of a WSGI environment the short way and the access log look at.

    None when a header field is there twice: how those are joined is gunicorn's matter.
    """
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": os.environ.get("SCRIPT_NAME", ""),
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "REMOTE_ADDR": client if isinstance(client, str) else client[0],
        "wsgi.url_scheme": request.scheme,
    }
    for name, value in request.headers:
        key = "HTTP_" + name.replace("-", "_")
        if key in environ:
            return None
        environ[key] = value
    return environ


def message(answer: Answer) -> bytes:
    """Return the whole answer, as gunicorn would have sent it on a kept connection."""
    return b"%b%b\r\n%b" % (_own_fields(int(time.time())), answer.head, answer.body)


@lru_cache(maxsize=2)
def _own_fields(second: int) -> bytes:
    """Return the status line and the server's own fields, the same for a second."""
    return (
        "HTTP/1.1 200 OK\r\n"
        f"Server: {SERVER}\r\n"
        f"Date: {util.http_date(second)}\r\n"
        "Connection: keep-alive\r\n"
    ).encode("ascii")
