"""Strict parsing of query strings."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_to_bytes

from django.http import QueryDict
from rest_framework.request import Request

from mirrorsite.problems import InvalidRequest

_MALFORMED_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def query_of(request: Request) -> QueryDict:
    """Return a request's parameters; raises `InvalidRequest` for a malformed one.

    Django itself replaces bytes that are not UTF-8 with U+FFFD.
    """
    malformed = malformed_parameter(request._request.META.get("QUERY_STRING", ""))
    if malformed is not None:
        name = malformed[:100]
        raise InvalidRequest(
            name,
            "invalid-parameter",
            f"The parameter {name!r} is not percent-encoded UTF-8.",
        )
    return request.query_params


def malformed_parameter(query_string: str) -> str | None:
    """Return the name of the first parameter that is not percent-encoded UTF-8."""
    for pair in query_string.split("&"):
        try:
            unquote_to_bytes(pair).decode()
            is_malformed = _MALFORMED_ESCAPE.search(pair) is not None
        except UnicodeDecodeError:
            is_malformed = True
        if is_malformed:
            return unquote(pair.partition("=")[0].replace("+", " "))
    return None
