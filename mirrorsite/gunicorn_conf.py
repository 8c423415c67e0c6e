"""gunicorn's configuration: `gunicorn --config python:mirrorsite.gunicorn_conf …`."""

from __future__ import annotations

import logging
import logging.config
import os
import sys
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import gunicorn.http.message
from django.core.exceptions import ImproperlyConfigured
from gunicorn.glogging import Logger

from mirrorsite.client_address import client_address
from mirrorsite.metrics_process import MetricsProcess

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mirrorsite.settings")
try:
    from django.conf import settings

    bind: str = settings.BIND
except ImproperlyConfigured as error:
    sys.exit(f"mirrorsite cannot start: {error}")

wsgi_app = "mirrorsite.wsgi"
worker_class = "mirrorsite.gunicorn_worker.Worker"
workers: int = settings.WEB_CONCURRENCY
threads: int = settings.WEB_THREADS
keepalive = 75  # longer than the usual 60 s of a load balancer in front
timeout = 60
graceful_timeout: int = settings.GRACEFUL_TIMEOUT_SECONDS
# Heartbeat files in memory, where there is such a file system: a slow disk must not
# look like a hanging worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
control_socket_disable = True
# A word of 2,000 characters is at most 24,000 bytes once percent-encoded; gunicorn's
# own ceiling would turn it away with a page of its own.
gunicorn.http.message.MAX_REQUEST_LINE = 32 * 1024
limit_request_line = 25 * 1024
limit_request_fields = 64
limit_request_field_size = 8190
forwarded_allow_ips = ""  # Django decides about proxies (TRUSTED_PROXIES)
accesslog = "-"


# What our lines do not say need not be found out for each:
# https://docs.python.org/3/howto/logging.html#optimization
logging._srcfile = None
logging.logThreads = False
logging.logProcesses = False
logging.logMultiprocessing = False


@lru_cache(maxsize=1024)
def _quoted(path: str) -> str:
    return quote(path, safe="/:@!$&'()*+,;=~-._")


class AccessLogger(Logger):
    """One line per request, through the project's own formatters."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logging.config.dictConfig(settings.LOGGING)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
        self.error_log.setLevel(logging.INFO)
        self.access_log.setLevel(logging.INFO)

    def access(
        self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta
    ) -> None:
        # The answer leaves before its line is written.
        resp.sock.release()
        milliseconds = round(request_time.total_seconds() * 1000, 3)
        status = resp.status_code
        # Quoted as in a URL: no line break of a client's gets into a line of ours.
        # The query is left out: it holds words of people.
        path = _quoted(environ["PATH_INFO"])
        fields = {
            "method": environ["REQUEST_METHOD"],
            "path": path,
            "route": environ.get("mirrorsite.route", ""),
            "status": status,
            "duration_ms": milliseconds,
            "bytes": getattr(resp, "sent", None),
            "request_id": environ.get("mirrorsite.request_id", ""),
            "client": client_address(
                environ.get("REMOTE_ADDR", ""),
                environ.get("HTTP_X_FORWARDED_FOR", ""),
                settings.TRUSTED_PROXIES,
            ),
        }
        self.access_log.info(
            "%s %s %s %.1f ms %s",
            fields["method"],
            path,
            status,
            milliseconds,
            fields["request_id"],
            extra={"fields": fields},
        )


logger_class = AccessLogger


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


def child_exit(server: Any, worker: Any) -> None:
    from mirrorsite.gunicorn_worker import COUNTS

    COUNTS.free(worker.age)


def post_worker_init(worker: Any) -> None:
    """Do before the first request what it would wait for: URL map, store client.

    And look up gunicorn's settings once: each of the twenty that a request asks for
    would go through a method that gives attributes which are not there.
    """
    from django.urls import get_resolver

    from uploads.services import upload_storage

    vars(worker.cfg).update({k: v.get() for k, v in worker.cfg.settings.items()})
    _ = get_resolver().url_patterns
    upload_storage().connect()
