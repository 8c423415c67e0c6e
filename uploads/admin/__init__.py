"""The admin: look, prove, export. Nothing here writes but through the services."""

from __future__ import annotations

from uploads.admin import accounts, events, uploads  # noqa: F401 these register
