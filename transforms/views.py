"""The mirror's endpoint."""

from __future__ import annotations

import hashlib
import json

from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite.api import OpenView
from mirrorsite.fast_path import Fields
from mirrorsite.problems import InvalidRequest
from transforms import schema
from transforms.mirror import mirror
from transforms.query import QueryError, single_parameter

MAX_WORD_CHARACTERS = 2000
_CACHE_CONTROL = "public, max-age=86400"
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class MirrorView(OpenView):
    """Answer the mirrored word."""

    @schema.mirror
    def get(self, request: Request) -> Response:
        try:
            # WSGI hands the query's bytes over as latin-1 text (PEP 3333).
            transformed, etag = _mirrored(
                request._request.META["QUERY_STRING"].encode("latin-1")
            )
        except QueryError as error:
            raise InvalidRequest("word", error.code, str(error)) from error
        headers = {"Cache-Control": _CACHE_CONTROL, "ETag": etag}
        if _client_has(etag, request._request.META.get("HTTP_IF_NONE_MATCH")):
            return Response(status=304, headers=headers)
        return Response({"transformed": transformed}, headers=headers)


def fast_answer(query: bytes) -> tuple[bytes, Fields] | None:
    """Return what `MirrorView` answers, for `mirrorsite.fast_path`."""
    try:
        transformed, etag = _mirrored(query)
    except QueryError:
        return None
    text = _JSON.encode({"transformed": transformed})
    # As REST framework's renderer: they end a line in JavaScript, but not in JSON.
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text.encode(), [(b"etag", etag.encode())]


def _mirrored(query: bytes) -> tuple[str, str]:
    """Return the mirrored word and its ETag; raises `QueryError`."""
    word = single_parameter(query, "word", max_characters=MAX_WORD_CHARACTERS)
    transformed = mirror(word)
    digest = hashlib.sha256(transformed.encode()).hexdigest()
    return transformed, f'"{digest[:32]}"'


def _client_has(etag: str, if_none_match: str | None) -> bool:
    """Tell whether If-None-Match names the tag: * or a list, compared weakly.

    RFC 9110, sections 8.8.3.2 and 13.1.2.
    """
    if not if_none_match:
        return False
    offered = parse_etags(if_none_match)
    return offered == ["*"] or any(tag.removeprefix("W/") == etag for tag in offered)
