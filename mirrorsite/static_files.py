"""Which static files are collected: only those that pages load."""

from __future__ import annotations

from django.contrib.staticfiles.apps import StaticFilesConfig
from whitenoise.storage import CompressedManifestStaticFilesStorage


class ServedFilesConfig(StaticFilesConfig):
    """Leaves out Redoc, which is not used, and source maps: 30 MB, ten seconds."""

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "redoc", "*.map"]


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Hashes names and compresses; ignores references to omitted source maps."""

    patterns = (("*.css", CompressedManifestStaticFilesStorage.patterns[0][1][:2]),)
