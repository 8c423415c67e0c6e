"""System check: missing triggers prevent the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import Error as DatabaseError
from django.db import connections

from uploads import triggers


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
