"""What all API views share: authentication, and bodies in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rest_framework.exceptions import AuthenticationFailed, ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mirrorsite.problems import Problem
from mirrorsite.tokens.authentication import (
    CHALLENGE,
    MayRead,
    StaffSessionAuthentication,
    TokenAuthentication,
)

# --- Bodies ----------------------------------------------------------------------


class AlwaysJSON(BaseContentNegotiation):
    """Always answer with JSON: there is no other representation."""

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


class StrictJSONParser(BaseParser):
    """JSON that all parsers read alike: I-JSON (RFC 7493).

    UTF-8, no duplicate member, no lone surrogate, no NaN. The server limits the body's
    size, and Python the digits of a number.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Any = None,
    ) -> Any:
        """Return the body's value; raises `Problem` or `ParseError`."""
        coding = parser_context["request"].headers.get("Content-Encoding", "identity")
        if coding.lower() != "identity":  # RFC 9110, section 15.5.16
            raise Problem(
                "unsupported-media-type",
                "The body must be sent without a Content-Encoding.",
            )
        try:
            return read_json(stream.read())
        except ValueError as error:
            # For a number with too many digits, Python's message continues after a
            # semicolon with advice to programmers.
            reason = str(error).partition(";")[0]
            raise ParseError(f"JSON parse error - {reason}") from error


def read_json(data: bytes) -> Any:
    """Return the value of an I-JSON text; raises `ValueError` with the reason."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_each_member_once,
            parse_constant=_no_constant,
        )
        # Only a lone surrogate, from an escape, cannot be encoded.
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a string holds half of a surrogate pair") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def _each_member_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("an object has a member more than once")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


# --- Views -----------------------------------------------------------------------


class Endpoint(APIView):
    """One path of the API, open to everybody unless a subclass requires credentials."""

    parser_classes = (StrictJSONParser,)
    content_negotiation_class = AlwaysJSON

    def options(  # type: ignore[override]  # DRF's request, as in all its views
        self, request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        """Answer with `Allow` alone; /api/schema describes the rest."""
        return Response(status=204)


class DatabaseView(Endpoint):
    """An endpoint that needs the database, at least to authenticate."""

    authentication_classes: Sequence[Any] = (TokenAuthentication,)

    def get_authenticate_header(self, request: Request) -> str:
        return CHALLENGE

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if isinstance(exc, AuthenticationFailed):
            # RFC 6750, section 3.1; a request without credentials gets no error code.
            response.headers["WWW-Authenticate"] = f'{CHALLENGE}, error="invalid_token"'
        return response


class ProtectedView(DatabaseView):
    """An endpoint for tokens with the scope `read`, and for sessions of staff.

    Staff need the permission `staff_permission`. Authentication comes first, even
    before the method is checked: without credentials every answer is the same 401.
    """

    authentication_classes: Sequence[Any] = (
        TokenAuthentication,
        StaffSessionAuthentication,
    )
    permission_classes: Sequence[Any] = (MayRead,)
    staff_permission: str

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        return super().finalize_response(request, response, *args, **kwargs)
