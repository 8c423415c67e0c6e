"""The description of the mirror's endpoint."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from mirrorsite.openapi import answer, header, problems

_BAD_WORDS = ("word-missing", "word-repeated", "word-not-utf8", "word-too-long")

mirror = extend_schema(
    operation_id="mirror",
    summary="Mirror a word",
    description="Letters change their case, digits become their complement to 9, and"
    " the whole is reversed, by what a person sees as one character. The same word has"
    " the same answer for ever, so it may be cached.",
    tags=["mirror"],
    auth=[],
    parameters=[
        OpenApiParameter(
            "word",
            required=True,
            type={"type": "string", "maxLength": 2000},
            description="UTF-8, percent-encoded; may be empty.",
        ),
        OpenApiParameter(
            "If-None-Match",
            location="header",
            description="The ETag of an answer you have: 304 when it is still right.",
        ),
        header("ETag", 200, 304),
        header("Cache-Control", 200, 304),
    ],
    responses={
        200: answer(
            {
                "type": "object",
                "required": ["transformed"],
                "additionalProperties": False,
                "properties": {"transformed": {"type": "string"}},
            },
            "The mirrored word.",
            {"transformed": "47RAbOoF"},
        ),
        304: OpenApiResponse(description="What you have is still right."),
        **problems(
            "/api/mirror",
            *_BAD_WORDS,
            **{
                slug.replace("-", "_"): {
                    "errors": [
                        {"field": "word", "code": slug, "detail": "What is wrong."}
                    ]
                }
                for slug in _BAD_WORDS
            },
        ),
    },
)
