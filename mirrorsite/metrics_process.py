"""Keeps mirrorsite.metrics_server running beside gunicorn's workers. No Django here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_AGAIN_SECONDS = 5.0


class MetricsProcess:
    """The directory that workers write to, and the process that shows it.

    One for each gunicorn master. It is started again when it ends: a thread of the
    master waits for it, and does nothing else.
    """

    def __init__(self) -> None:
        self._directory = ""
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make an empty directory, in memory where that can be, before any worker."""
        memory = "/dev/shm"  # noqa: S108 a directory of its own is made in it
        self._directory = tempfile.mkdtemp(
            prefix="mirrorsite-metrics-",
            dir=memory if os.access(memory, os.W_OK) else None,
        )
        os.environ[_VARIABLE] = self._directory

    def start(self) -> None:
        threading.Thread(target=self._keep, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """End the process and remove the directory."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mirrorsite.metrics_server"],
                stdin=subprocess.DEVNULL,
            )
            # gunicorn reaps every child and may be first: then this is 0 at once.
            self._process.wait()
            self._stopping.wait(_AGAIN_SECONDS)
