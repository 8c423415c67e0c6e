"""What all API views share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mirrorsite.tokens.authentication import (
    CHALLENGE,
    MayRead,
    StaffSessionAuthentication,
    TokenAuthentication,
)


class Endpoint(APIView):
    """One path of the API."""

    def options(  # type: ignore[override]  # DRF's request, as in all its views
        self, request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        """Answer with `Allow` alone; /api/schema describes the rest."""
        return Response(status=204)


class OpenView(Endpoint):
    """An endpoint without authentication."""

    authentication_classes: Sequence[Any] = ()
    permission_classes: Sequence[Any] = ()


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
