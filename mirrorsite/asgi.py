"""The ASGI application: Django in a bounded pool of threads."""

from __future__ import annotations

from django.conf import settings
from django.urls import get_resolver

from mirrorsite import wsgi  # sets Django up, before the views are imported
from mirrorsite.server.application import Application
from mirrorsite.urls import FAST_ANSWERS
from uploads.storage import upload_storage


def warm_up() -> None:
    """Load what the first request would otherwise wait for: URL map, store client."""
    _ = get_resolver().url_patterns
    upload_storage().connect()


application = Application(
    wsgi.application, FAST_ANSWERS, threads=settings.WEB_THREADS, warm_up=warm_up
)
