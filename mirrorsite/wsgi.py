"""The WSGI application: static files first, then Django."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from whitenoise import WhiteNoise

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")

_django = get_wsgi_application()
# Around Django rather than in its middleware: an API request pays one dictionary
# look-up for it.
application = WhiteNoise(
    _django,
    root=settings.STATIC_ROOT,
    prefix=settings.STATIC_URL,
    allow_all_origins=False,
    # The manifest storage puts a hash of the content into every name.
    immutable_file_test=r"\.[0-9a-f]{12}\.",
)
