"""The access log: one line for each request."""

from __future__ import annotations

import logging

from django.conf import settings

from mirrorsite.client_address import client_address
from mirrorsite.printable import quoted_path

logger = logging.getLogger("gunicorn.access")


def log_access(
    *,
    method: str,
    raw_path: bytes,
    route: str,
    status: int,
    seconds: float,
    size: int,
    request_id: str,
    peer: tuple[str, int] | None,
    forwarded_for: str,
) -> None:
    """Log one request; `size` is the length of the answer's body in bytes.

    The query is left out: it may hold personal data.
    """
    milliseconds = round(seconds * 1000, 3)
    path = quoted_path(raw_path)
    fields = {
        "method": method,
        "path": path,
        "route": route,
        "status": status,
        "duration_ms": milliseconds,
        "bytes": size,
        "request_id": request_id,
        "client": client_address(
            peer[0] if peer else "", forwarded_for, settings.TRUSTED_PROXIES
        ),
    }
    # `logger.info` would look up the calling function for each line.
    logger.handle(
        logger.makeRecord(
            logger.name,
            logging.INFO,
            "",
            0,
            "%s %s %s %.1f ms %s",
            (method, path, status, milliseconds, request_id),
            None,
            extra={"fields": fields},
        )
    )
