"""gunicorn's configuration: `gunicorn --config python:mirrorsite.gunicorn_conf …`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from typing import Any

from django.core.exceptions import ImproperlyConfigured

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
_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
# Heartbeat files are in memory, if possible: a slow disk must not make a worker look
# hung.
worker_tmp_dir = _memory
control_socket_disable = True
forwarded_allow_ips = ""  # Django handles proxies (TRUSTED_PROXIES)
logconfig_dict: dict[str, Any] = settings.LOGGING


# --- The process that serves the workers' metrics ------------------------------------

_RESTART_SECONDS = 5.0

_metrics_directory = ""
_metrics_process: subprocess.Popen[bytes] | None = None
_is_stopping = threading.Event()


def on_starting(server: Any) -> None:
    """Make an empty directory for the workers' metrics, in memory if possible."""
    global _metrics_directory
    if settings.METRICS_BIND:
        _metrics_directory = tempfile.mkdtemp(prefix="mirrorsite-metrics-", dir=_memory)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_directory


def when_ready(server: Any) -> None:
    if settings.METRICS_BIND:
        threading.Thread(target=_serve_metrics, name="metrics", daemon=True).start()


def _serve_metrics() -> None:
    """Run mirrorsite.metrics_server; start it again when it ends."""
    global _metrics_process
    while not _is_stopping.is_set():
        _metrics_process = subprocess.Popen(  # noqa: S603 a module of this project
            [sys.executable, "-m", "mirrorsite.metrics_server", str(os.getpid())],
            stdin=subprocess.DEVNULL,
        )
        # gunicorn reaps every child; if it did so first, this returns immediately.
        _metrics_process.wait()
        _is_stopping.wait(_RESTART_SECONDS)


def on_exit(server: Any) -> None:
    _is_stopping.set()
    if _metrics_process is not None:
        _metrics_process.terminate()
    if _metrics_directory:
        shutil.rmtree(_metrics_directory, ignore_errors=True)
