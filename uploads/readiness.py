"""Checks of the readiness probe: the bucket and the audit trail."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, Error, connections

from mirrorsite.readiness import DATABASE_UNAVAILABLE
from uploads import triggers
from uploads.storage import upload_storage


def check_bucket() -> str:
    """Return "ok", or why the bucket is unavailable."""
    return upload_storage().availability()


def check_trail() -> str:
    """Return "ok", or why the audit trail is not append-only."""
    try:
        names = triggers.missing(connections[DEFAULT_DB_ALIAS])
    except Error:
        return DATABASE_UNAVAILABLE
    if names:
        return f"unavailable: append-only triggers are missing: {', '.join(names)}"
    return "ok"
