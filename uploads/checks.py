"""System checks: a wrong configuration or missing triggers prevent the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connections

from uploads import triggers
from uploads.storage import upload_storage


@register(Tags.files)
def check_storage(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report a wrong option in STORAGES."""
    try:
        upload_storage()
    except (ImproperlyConfigured, TypeError) as error:
        return [
            Error(f"STORAGES['default'] cannot be built: {error}", id="uploads.E001")
        ]
    return []


@register(Tags.database)
def check_triggers(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report missing append-only triggers in the databases that the command checks.

    An unavailable or unmigrated database is not an error of this check.
    """
    messages: list[CheckMessage] = []
    for alias in databases or ():
        try:
            names = triggers.missing(connections[alias])
        except DatabaseError:
            continue
        if names:
            messages.append(
                Error(
                    f"the audit trail is not append-only in the database {alias!r}:"
                    f" triggers are missing or altered: {', '.join(names)}",
                    hint=(
                        "Run `manage.py verify_audit` to see what was changed without them,"
                        " and `manage.py migrate --skip-checks` to install them."
                    ),
                    id="uploads.E002",
                )
            )
    return messages
