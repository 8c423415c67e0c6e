"""Runs mirrorsite.metrics_server beside gunicorn's workers. No Django here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_RESTART_SECONDS = 5.0


class MetricsProcess:
    """The workers' metrics directory, and the process that serves it.

    Each gunicorn master has one, and a thread that restarts the process when it ends.
    """

    def __init__(self) -> None:
        self._directory = ""
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make an empty directory, in memory if possible, before any worker starts."""
        memory = "/dev/shm"  # noqa: S108 a directory of its own is made in it
        self._directory = tempfile.mkdtemp(
            prefix="mirrorsite-metrics-",
            dir=memory if os.access(memory, os.W_OK) else None,
        )
        os.environ[_VARIABLE] = self._directory

    def start(self) -> None:
        threading.Thread(target=self._keep_running, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """End the process and remove the directory."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _keep_running(self) -> None:
        while not self._stopping.is_set():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mirrorsite.metrics_server"],
                stdin=subprocess.DEVNULL,
            )
            # gunicorn reaps every child; if it did so first, this returns immediately.
            self._process.wait()
            self._stopping.wait(_RESTART_SECONDS)
