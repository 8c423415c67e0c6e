"""Request identifiers: which are accepted, and how one is made. No Django here."""

from __future__ import annotations

import re
import secrets

#: What a client's X-Request-ID may look like: 1 to 128 characters that are safe in
#: a log line, a header and an object's metadata.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._~+/=:-]{1,128}")


def is_well_formed(text: str) -> bool:
    """Tell whether this can be a request id here."""
    return _WELL_FORMED.fullmatch(text) is not None


def request_id_from(offered: str | None) -> str:
    """Return the client's own identifier when well-formed, else a new one."""
    if offered is not None and is_well_formed(offered):
        return offered
    return secrets.token_hex(16)
