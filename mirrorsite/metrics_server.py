"""Serves the metrics on a port of their own: `python -m mirrorsite.metrics_server PARENT`.

A process beside gunicorn's workers, started by gunicorn's configuration. It sums what
the workers wrote to PROMETHEUS_MULTIPROC_DIR, and reads from the database, with a timeout
of two seconds, how many uploads are pending, how old the last upload and the last seal
are, and what the last verification of the audit trail found. If the database is
unavailable, only these series are missing. The process ends when its parent does, whose
process id is PARENT.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import django
from prometheus_client import CollectorRegistry, multiprocess, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mirrorsite.database import read_only_settings

logger = logging.getLogger("mirrorsite.metrics_server")

DATABASE_SECONDS = 2
_BIND_RETRY_SECONDS = 2.0
_POLL_SECONDS = 0.5
#: How long a client may take to send its request.
CLIENT_SECONDS = 5.0


class DatabaseCollector(Collector):
    """Gauges read from the database at each scrape."""

    def collect(self) -> Iterator[Metric]:
        from django.db import Error, connection

        values: dict[str, float | None] = {}
        try:
            values = _database_values()
        except Error as error:
            logger.warning("metrics: database unavailable: %s", error)
        finally:
            connection.close()  # each scrape has a thread of its own
        yield GaugeMetricFamily(
            "mirrorsite_database_up",
            "1 when the database answered this scrape, else 0.",
            value=1 if values else 0,
        )
        for name, value in values.items():
            if value is not None:
                yield GaugeMetricFamily(name, _HELP[name], value=value)


_HELP = {
    "mirrorsite_uploads_pending_over_a_minute": (
        "Uploads that have been pending for more than a minute."
    ),
    "mirrorsite_last_stored_upload_age_seconds": (
        "Seconds since the newest stored upload was stored; absent if none is stored."
    ),
    "mirrorsite_last_seal_age_seconds": (
        "Seconds since the audit trail was last sealed; absent if it was never sealed."
    ),
    "mirrorsite_last_verification_age_seconds": (
        "Seconds since the audit trail was last verified; absent if it never was."
    ),
    "mirrorsite_last_verification_faults": (
        "Faults that the last verification of the audit trail found, or the last one of the"
        " whole trail, whichever found more; absent if it was never verified."
    ),
}


def _database_values() -> dict[str, float | None]:
    from django.utils import timezone

    from uploads.models import Action, AuditSeal, Upload, UploadEvent

    now = timezone.now()
    seals = AuditSeal.objects.order_by("-number").values_list("sealed_at", flat=True)

    def age(at: datetime | None) -> float | None:
        return None if at is None else max((now - at).total_seconds(), 0.0)

    last_stored_at = Upload.objects.last_stored_at()
    checks = UploadEvent.objects.filter(action=Action.AUDIT_CHECKED).order_by(
        "-at", "-id"
    )
    last_check = checks.first()
    # Faults found in the whole trail stay visible after a later verification that covers
    # only the last days.
    last_whole_check = checks.filter(detail__since=None).first()
    faults = [
        found
        for check in (last_check, last_whole_check)
        if check and isinstance(found := check.detail.get("faults"), int)
    ]
    return {
        "mirrorsite_uploads_pending_over_a_minute": Upload.objects.overdue().count(),
        "mirrorsite_last_stored_upload_age_seconds": age(last_stored_at),
        "mirrorsite_last_seal_age_seconds": age(seals.first()),
        "mirrorsite_last_verification_age_seconds": age(
            last_check.at if last_check else None
        ),
        "mirrorsite_last_verification_faults": max(faults, default=None),
    }


def registry() -> CollectorRegistry:
    """Return a registry of the workers' metrics and the gauges from the database."""
    combined = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(combined)  # type: ignore[no-untyped-call]
    combined.register(DatabaseCollector())
    return combined


def serve(bind: str, keep_running: Callable[[], bool]) -> None:
    """Serve the metrics while `keep_running()` returns True.

    Retries when the port cannot be bound: a predecessor may be about to release it.
    """
    host, _, port = bind.rpartition(":")
    reported = False
    while keep_running():
        try:
            server, _ = start_http_server(int(port), host.strip("[]"), registry())
        except OSError as error:
            if not reported:
                logger.warning(
                    "metrics cannot be served on %s: %s; trying again",
                    bind,
                    error.strerror,
                )
                reported = True
            time.sleep(_BIND_RETRY_SECONDS)
            continue
        logger.info("metrics on http://%s/metrics", bind)
        while keep_running():
            time.sleep(_POLL_SECONDS)
        server.shutdown()
        server.server_close()


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
    from django.conf import settings

    parent = int(sys.argv[1])  # it may have ended already
    # Applies to accepted connections: prometheus_client sets no timeout for them.
    socket.setdefaulttimeout(CLIENT_SECONDS)
    settings.DATABASES["default"] |= read_only_settings(
        settings.DATABASES["default"], seconds=DATABASE_SECONDS
    )
    django.setup()
    if settings.METRICS_BIND is None:
        return
    serve(settings.METRICS_BIND, lambda: os.getppid() == parent)
    if directory := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        # The parent, gunicorn's master, has ended. It has removed its directory, unless it
        # was killed.
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
