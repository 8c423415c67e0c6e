"""The WSGI application."""

from __future__ import annotations

import os

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")


class UTF8Request(WSGIRequest):
    """A request whose query and form are UTF-8, whatever its Content-Type.

    Django's `encoding` would decode the query with the charset of the body, and fail for
    one that is not a text encoding, such as `hex`.
    """

    @property
    def encoding(self) -> None:
        """None is Django's default, UTF-8."""
        return None

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        """Ignore the charset of the body, which Django sets."""


application = get_wsgi_application()
application.request_class = UTF8Request
