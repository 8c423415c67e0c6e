"""The mirror's endpoint."""

from __future__ import annotations

import hashlib
import json

from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from mirrorsite.api import Endpoint
from mirrorsite.openapi import answer, header, problem_responses
from mirrorsite.problems import InvalidRequest
from mirrorsite.server.responses import Fields
from transforms.mirror import mirror
from transforms.query import MAX_WORD_CHARACTERS, QueryError, word_of

_CACHE_CONTROL = "public, max-age=86400"
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class MirroredSerializer(serializers.Serializer[str]):
    transformed = serializers.CharField()


class MirrorView(Endpoint):
    """Swap the case of letters, replace each digit d by 9 - d, and reverse the text.

    User-perceived characters stay whole. The answer for a word never changes, so it
    may be cached.
    """

    @extend_schema(
        operation_id="mirror",
        summary="Mirror a word",
        tags=["mirror"],
        parameters=[
            OpenApiParameter(
                "word",
                {"type": "string", "maxLength": MAX_WORD_CHARACTERS},
                required=True,
                description="UTF-8, percent-encoded; may be empty.",
            ),
            OpenApiParameter(
                "If-None-Match",
                location="header",
                description="The ETag of an earlier answer: 304 if it is still valid.",
            ),
            header(
                "ETag",
                "Strong validator, for If-None-Match.",
                200,
                304,
                type="string",
                pattern='^"[0-9a-f]{32}"$',
            ),
            header("Cache-Control", "", 200, 304, type="string"),
        ],
        responses={
            200: answer(
                MirroredSerializer, "The mirrored word.", {"transformed": "47RAbOoF"}
            ),
            304: OpenApiResponse(description="The earlier answer is still valid."),
            **problem_responses(
                "/api/mirror",
                fields={
                    "word-missing": "word",
                    "word-repeated": "word",
                    "word-not-utf8": "word",
                    "word-too-long": "word",
                },
            ),
        },
    )
    def get(self, request: Request) -> Response:
        try:
            transformed, etag = _mirror_query(request._request.META["QUERY_STRING"])
        except QueryError as error:
            raise InvalidRequest("word", error.code, str(error)) from error
        headers = {"Cache-Control": _CACHE_CONTROL, "ETag": etag}
        if _client_has(etag, request._request.META.get("HTTP_IF_NONE_MATCH")):
            return Response(status=304, headers=headers)
        return Response({"transformed": transformed}, headers=headers)


def fast_answer(query: bytes) -> tuple[bytes, Fields] | None:
    """Return the body and ETag of `MirrorView`'s 200; None leaves an error to Django."""
    try:
        # The HTTP parser refuses a request line that is not ASCII.
        transformed, etag = _mirror_query(query.decode("ascii"))
    except QueryError:
        return None
    # Encoding only the string takes half as long as encoding the whole object.
    text = f'{{"transformed":{_JSON.encode(transformed)}}}'
    # Escaped as by REST framework: U+2028 and U+2029 end a line in JavaScript.
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text.encode(), [(b"etag", etag.encode())]


def _mirror_query(query_string: str) -> tuple[str, str]:
    """Return the mirrored word and its ETag; raises `QueryError`."""
    transformed = mirror(word_of(query_string))
    digest = hashlib.sha256(transformed.encode()).hexdigest()
    return transformed, f'"{digest[:32]}"'


def _client_has(etag: str, if_none_match: str | None) -> bool:
    """Return True if If-None-Match is * or lists the tag, compared weakly.

    RFC 9110, sections 8.8.3.2 and 13.1.2.
    """
    offered = parse_etags(if_none_match or "")
    return offered == ["*"] or etag in (tag.removeprefix("W/") for tag in offered)
