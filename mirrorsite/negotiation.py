"""One way in and one way out: how the API reads and writes bodies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any, cast

from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request

from mirrorsite.problems import Problem

#: Bodies here are a handful of members; more is a mistake or an attack.
MAX_BODY_BYTES = 16 * 1024


class OneRenderer(JSONRenderer):
    """Compact JSON in UTF-8."""

    def get_indent(self, accepted_media_type: str, renderer_context: Any) -> None:
        return None


class AlwaysJSON(BaseContentNegotiation):
    """Answer JSON whatever `Accept` asks: there is one representation."""

    def select_parser(
        self, request: Request, parsers: Iterable[BaseParser]
    ) -> BaseParser | None:
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next(iter(parsers)) if media_type == "application/json" else None

    def select_renderer(
        self,
        request: Request,
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[BaseRenderer, str]:
        return next(iter(renderers)), "application/json"


class LimitedJSONParser(JSONParser):
    """JSON of at most `MAX_BODY_BYTES`, however deeply nested."""

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Any = None,
    ) -> Any:
        limited = _LimitedStream(stream)
        try:
            return super().parse(cast("IO[Any]", limited), media_type, parser_context)
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply") from error


class _LimitedStream:
    """Reads a request's body and refuses one longer than the limit."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(MAX_BODY_BYTES + 1)
        if len(data) > MAX_BODY_BYTES:
            raise Problem(
                413,
                "body-too-large",
                f"The body is larger than {MAX_BODY_BYTES} bytes.",
            )
        return data
