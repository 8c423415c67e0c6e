"""Django's request, tolerant of malformed header fields."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import QueryDict
from django.http.multipartparser import MultiPartParserError
from django.http.request import MediaType
from django.utils.datastructures import MultiValueDict
from django.utils.functional import cached_property

from mirrorsite.logs import quoted_path

#: What Django raises for parameters such as `x*=nope''y` or `x*0=a; x*=''b`: it reads
#: `*` as in RFC 2231.
_MALFORMED = (TypeError, ValueError)


class Request(ASGIRequest):
    """A request whose form is UTF-8, whatever its Content-Type.

    Malformed parameters of a media type are ignored; Django would raise an exception.
    """

    #: None is Django's default, UTF-8. The charset of the body, which Django sets, is
    #: ignored: decoding fails for one that is not a text encoding, such as `hex`.
    encoding = property(lambda self: None, lambda self, charset: None)

    def __init__(self, scope: Any, body: BytesIO) -> None:
        try:
            super().__init__(scope, body)
        except _MALFORMED:
            headers = [
                (name, value.partition(b";")[0] if name == b"content-type" else value)
                for name, value in scope["headers"]
            ]
            super().__init__(scope | {"headers": headers}, body)
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        if len(cookies) > 1:
            # HTTP/2 allows several Cookie fields (RFC 9113, section 8.2.3), and a proxy may
            # pass them on. Django joins repeated fields with a comma.
            self.META["HTTP_COOKIE"] = b"; ".join(cookies).decode("latin-1")
        # The percent-encoded path, for the member `instance` of a problem.
        self.META["mirrorsite.path"] = quoted_path(scope["raw_path"])

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
