"""The admin: view, verify, export. It writes only through the use cases of `uploads`."""

from __future__ import annotations

from uploads.admin import accounts, events, uploads  # noqa: F401 register the models
