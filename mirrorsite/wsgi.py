"""The WSGI application: static files, then Django."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from whitenoise import WhiteNoise

from mirrorsite.headers import static_file_headers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")

_django = get_wsgi_application()
_static_headers = static_file_headers(https_only=settings.HTTPS_ONLY)


def _add_headers(headers: Any, path: str, url: str) -> None:
    for name, value in _static_headers.items():
        headers[name] = value


# Around Django rather than in its middleware: an API request pays one dictionary
# look-up for it.
application = WhiteNoise(
    _django,
    root=settings.STATIC_ROOT,
    prefix=settings.STATIC_URL,
    allow_all_origins=False,
    add_headers_function=_add_headers,
    # The manifest storage puts a hash of the content into every name.
    immutable_file_test=r"\.[0-9a-f]{12}\.",
)
