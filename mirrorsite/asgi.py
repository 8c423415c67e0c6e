"""The ASGI application: Django in a bounded pool of threads."""
# ruff: noqa: E402 Django is set up before the views are imported

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
django.setup()

from mirrorsite.server.application import Application
from mirrorsite.urls import FAST_ANSWERS
from uploads.storage import upload_storage


def warm_up() -> None:
    """Load what the first request would otherwise wait for: URL map, store client."""
    _ = get_resolver().url_patterns
    upload_storage().connect()


handler = BaseHandler()
handler.load_middleware()
application = Application(
    handler.get_response, FAST_ANSWERS, threads=settings.WEB_THREADS, warm_up=warm_up
)
