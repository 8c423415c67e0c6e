from __future__ import annotations

from django.apps import AppConfig


class MirrorsiteConfig(AppConfig):
    name = "mirrorsite"

    def ready(self) -> None:
        from mirrorsite import checks  # noqa: F401 registers them
