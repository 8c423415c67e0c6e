"""Which requests `mirrorsite.fast_path` answers, told by their bytes. No Django here.

Nor prometheus_client: gunicorn's master loads this before its configuration has said
where the metrics go.
"""

from __future__ import annotations

import re

#: The paths that have a short way.
PATHS = ("/api/health", "/api/mirror")
#: A longer request is not looked at, but goes to a thread as all others do.
MOST_SHORT_BYTES = 4096
#: One such request, all of it and nothing behind it: without a body, a condition, or
#: any other wish that could make the answer wait for something.
_SHORT = re.compile(
    rb"GET (?:" + "|".join(PATHS).encode() + rb")(?:\?[!-~]*)? HTTP/1\.1\r\n"
    rb"(?:(?!(?i:content-length|transfer-encoding|expect|upgrade|if-)[^\r\n]*:)"
    rb"[^\r\n]+\r\n)+\r\n"
)


def is_short(request: bytes) -> bool:
    """Tell whether these bytes are one plain request for one of the `PATHS`."""
    return _SHORT.fullmatch(request) is not None
