"""Request identifiers: which are accepted, and how one is made. No Django here."""

from __future__ import annotations

import os
import random
import re
from contextvars import ContextVar

#: What a client's X-Request-ID may look like: 1 to 128 characters that are safe in
#: a log line, a header and an object's metadata.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._~+/=:-]{1,128}")
#: version, trace id, and what a later version appends. Identifiers of zeros alone
#: are invalid. https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})"
    r"-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)

#: Identifiers have to differ, not to be unguessable: one seed from the system for each
#: process serves them all, where a system call each would cost more than the rest.
_random = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)

#: The identifier of the request that this thread works on; empty outside of one.
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")


def is_well_formed(text: str) -> bool:
    """Return True if this can be a request id here."""
    return _WELL_FORMED.fullmatch(text) is not None


def request_id_from(offered: str | None, traceparent: str | None = None) -> str:
    """Return the identifier of a request.

    The client's own X-Request-ID when well-formed; else the trace id of a valid W3C
    `traceparent`, so that our lines are found from the trace; else a new one.
    """
    if offered is not None and is_well_formed(offered):
        return offered
    if traceparent is not None and (trace_id := trace_id_from(traceparent)):
        return trace_id
    return f"{_random.getrandbits(128):032x}"


def trace_id_from(traceparent: str) -> str | None:
    """Return the trace id of a valid `traceparent`, else None."""
    match = _TRACEPARENT.fullmatch(traceparent)
    # Version 00 has exactly four fields.
    if match is None or (match[1] == "00" and match[3]):
        return None
    return match[2]
