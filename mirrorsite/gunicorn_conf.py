"""gunicorn's configuration: `gunicorn --config python:mirrorsite.gunicorn_conf …`."""

from __future__ import annotations

import logging
import logging.config
import os
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from gunicorn.glogging import Logger

from mirrorsite.metrics_process import MetricsProcess

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
try:
    from django.conf import settings

    bind: str = settings.BIND
except ImproperlyConfigured as error:
    sys.exit(f"mirrorsite cannot start: {error}")

wsgi_app = "mirrorsite.asgi:application"
worker_class = "mirrorsite.server.worker.Worker"
workers: int = settings.WEB_CONCURRENCY
keepalive = 75  # longer than the usual 60 s of a load balancer in front
timeout = 60
graceful_timeout: int = settings.GRACEFUL_TIMEOUT_SECONDS
# Heartbeat files are in memory, if possible: a slow disk must not make a worker look
# hung.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
control_socket_disable = True
forwarded_allow_ips = ""  # Django handles proxies (TRUSTED_PROXIES)


class ProjectLogger(Logger):
    """gunicorn's log, written by the project's own formatters."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logging.config.dictConfig(settings.LOGGING)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
        self.error_log.setLevel(logging.INFO)
        self.access_log.setLevel(logging.INFO)


logger_class = ProjectLogger


_metrics = MetricsProcess() if settings.METRICS_BIND else None


def on_starting(server: Any) -> None:
    if _metrics:
        _metrics.prepare()


def when_ready(server: Any) -> None:
    if _metrics:
        _metrics.start()


def on_exit(server: Any) -> None:
    if _metrics:
        _metrics.stop()
