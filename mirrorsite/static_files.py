"""Static files: which are collected (only those that pages load), and how they are served."""

from __future__ import annotations

from django.contrib.staticfiles.apps import StaticFilesConfig
from django.http import HttpRequest
from whitenoise.middleware import WhiteNoiseFileResponse, WhiteNoiseMiddleware
from whitenoise.responders import StaticFile
from whitenoise.storage import CompressedManifestStaticFilesStorage


class ServedFilesConfig(StaticFilesConfig):
    """Leaves out source maps and the unused Redoc: 30 MB, ten seconds of collectstatic."""

    ignore_patterns = [*StaticFilesConfig.ignore_patterns, "redoc", "*.map"]


class StaticStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Hashes names and compresses; ignores references to omitted source maps."""

    # Django's first two patterns for CSS, url() and @import; the others are for source maps.
    patterns = (("*.css", CompressedManifestStaticFilesStorage.patterns[0][1][:2]),)


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]
    """Ignores Range, which is optional (RFC 9110, section 14.2).

    WhiteNoise refuses a range of one byte, and ignores If-Range.
    """

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> WhiteNoiseFileResponse:
        """Return the whole file, or 304."""
        request.META.pop("HTTP_RANGE", None)
        return WhiteNoiseMiddleware.serve(static_file, request)
