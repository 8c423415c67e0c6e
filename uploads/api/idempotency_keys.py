"""Reading Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07)."""

from __future__ import annotations

import re

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from mirrorsite.actors import Actor
from mirrorsite.problems import InvalidRequest
from uploads.idempotency import MAX_KEY, IdempotencyKey

#: Printable ASCII with the space, without the comma: servers and proxies join two
#: headers of one name with it (RFC 9110, section 5.2), and two are no key.
_PLAIN = re.compile(r"[ -+\--~]+")
#: A string of RFC 8941, section 3.3.3: quoted, with \\" and \\\\ for themselves.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {
        "type": "string",
        # Without quotes (no comma, and no space at either end: HTTP drops those), or
        # with.
        "pattern": r'^([!#-+\--~]([ -+\--~]{0,253}[!-+\--~])?|"[ !#-\[\]-~]{1,255}")$',
    },
    location="header",
    description="Printable ASCII, 1 to 255 characters, in double quotes or, without a"
    " comma, unquoted: the same key and body make one upload, however often they are"
    " sent.",
)


def idempotency_key_of(request: Request, actor: Actor) -> IdempotencyKey | None:
    """Return the request's key, None without the header; raises `InvalidRequest`."""
    value = request._request.META.get("HTTP_IDEMPOTENCY_KEY")
    if value is None:
        return None
    key = parse_key(value)
    if key is None:
        raise InvalidRequest(
            "Idempotency-Key",
            "invalid-idempotency-key",
            f"Idempotency-Key must be given once, with 1 to {MAX_KEY} printable ASCII"
            " characters, in double quotes or, without a comma, unquoted.",
        )
    return IdempotencyKey(actor.idempotency_scope, key)


def parse_key(value: str) -> str | None:
    """Return the key in a header's value, None if it is malformed.

    The draft makes it a structured field, in quotes; most clients send it unquoted.
    Both mean the same key.
    """
    value = value.strip(" \t")
    if value.startswith('"'):
        quoted = _QUOTED.fullmatch(value)
        value = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    elif not _PLAIN.fullmatch(value):
        return None
    return value if 1 <= len(value) <= MAX_KEY else None
