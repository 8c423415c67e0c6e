"""The mirror's endpoint."""

from __future__ import annotations

import hashlib

from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite.api import OpenView
from mirrorsite.problems import InvalidRequest
from transforms.mirror import mirror
from transforms.query import QueryError, single_parameter

MAX_WORD_CHARACTERS = 2000
_CACHE_CONTROL = "public, max-age=86400"


class MirrorView(OpenView):
    """Answer the mirrored word."""

    def get(self, request: Request) -> Response:
        # WSGI hands the raw bytes of the query over as latin-1 text (PEP 3333).
        query = request._request.META.get("QUERY_STRING", "").encode("latin-1")
        try:
            word = single_parameter(query, "word", max_characters=MAX_WORD_CHARACTERS)
        except QueryError as error:
            raise InvalidRequest("word", error.code, str(error)) from error
        transformed = mirror(word)
        etag = '"' + hashlib.sha256(transformed.encode()).hexdigest()[:32] + '"'
        headers = {"Cache-Control": _CACHE_CONTROL, "ETag": etag}
        return Response({"transformed": transformed}, headers=headers)
