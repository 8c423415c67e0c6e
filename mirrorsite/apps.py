"""The app, and its system check of `manage.py check --deploy`."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks


class MirrorsiteConfig(AppConfig):
    name = "mirrorsite"


@checks.register(checks.Tags.security, deploy=True)
def check_proxies(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Warn if requests would be redirected to HTTPS endlessly."""
    if not settings.HTTPS_ONLY or settings.TRUSTED_PROXIES:
        return []
    return [
        checks.Warning(
            "HTTPS_ONLY is true and TRUSTED_PROXIES is 0: unless gunicorn itself uses"
            " TLS, no request counts as HTTPS, and all but the probes are redirected.",
            hint=(
                "Set TRUSTED_PROXIES to the number of proxies in front, whose"
                " X-Forwarded-Proto is then trusted, or HTTPS_ONLY to false."
            ),
            id="mirrorsite.W001",
        )
    ]
