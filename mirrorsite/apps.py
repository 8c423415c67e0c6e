from __future__ import annotations

from django.apps import AppConfig


class MirrorsiteConfig(AppConfig):
    name = "mirrorsite"
