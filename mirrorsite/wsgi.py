"""The WSGI application."""

from __future__ import annotations

import os
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import QueryDict
from django.http.multipartparser import MultiPartParserError
from django.http.request import MediaType
from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")

#: What Django raises for parameters such as `x*=nope''y` or `x*0=a; x*=''b`: it reads
#: `*` as in RFC 2231.
_MALFORMED = (TypeError, ValueError)


class UTF8Request(WSGIRequest):
    """A request whose query and form are UTF-8, whatever its Content-Type.

    Django's `encoding` would decode the query with the charset of the body, and fail for
    one that is not a text encoding, such as `hex`.

    Malformed parameters of a media type are ignored; Django would raise an exception.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        try:
            super().__init__(environ)
        except _MALFORMED:
            media_type = environ.get("CONTENT_TYPE", "")
            environ["CONTENT_TYPE"] = media_type.partition(";")[0]
            super().__init__(environ)

    @cached_property
    def accepted_types(self) -> list[MediaType]:
        """Return the types in Accept; none if one of them is malformed."""
        try:
            accepted: list[MediaType] = super().accepted_types
        except _MALFORMED:
            return []
        return accepted

    def parse_file_upload(
        self,
        META: Any,  # noqa: N803 Django's name
        post_data: Any,
    ) -> tuple[QueryDict, MultiValueDict[str, Any]]:
        """Parse a multipart form; raises `MultiPartParserError` if it is malformed."""
        try:
            return super().parse_file_upload(META, post_data)
        except TypeError as error:
            raise MultiPartParserError("malformed header of a part") from error

    @property
    def encoding(self) -> None:
        """None is Django's default, UTF-8."""
        return None

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        """Ignore the charset of the body, which Django sets."""


application = get_wsgi_application()
application.request_class = UTF8Request
