"""System checks: what would fail at the first upload fails at the start instead."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from uploads.services import upload_storage


@register(Tags.files)
def check_storage(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Build the storage, so that a wrong option in STORAGES is found at once."""
    try:
        upload_storage()
    except (ImproperlyConfigured, TypeError) as error:
        return [
            Error(f"STORAGES['default'] cannot be built: {error}", id="uploads.E001")
        ]
    return []
