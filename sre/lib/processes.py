"""Child processes that never outlive the one that started them. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1


class StartError(RuntimeError):
    """A server cannot start; the message has the reason and a remedy, or names its log."""


def die_with_parent() -> None:
    """Ask Linux to terminate this process when its parent has ended, even by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def start(
    command: Sequence[str],
    *,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keep_open: Sequence[int] = (),
    user: tuple[int, int] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own, so that Ctrl-C does not reach it.

    The file descriptors in `keep_open` stay open in the child. It runs as `user`, the
    IDs of a user and a group, when one is given; only root can do that.
    """
    opened: AbstractContextManager[IO[bytes] | None] = contextlib.nullcontext()
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        opened = log.open("ab")
    credentials: dict[str, Any] = {}
    if user is not None:
        credentials = {"user": user[0], "group": user[1], "extra_groups": []}
    with opened as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=environment,
            cwd=cwd,
            pass_fds=keep_open,
            start_new_session=True,
            **credentials,
            # The child only calls prctl between fork and exec.
            preexec_fn=die_with_parent,
        )


def stop(process: subprocess.Popen[bytes], *, seconds: float = 30) -> None:
    """End a child by SIGTERM; after `seconds`, kill its process group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(
    condition: Callable[[], bool],
    *,
    seconds: float,
    process: subprocess.Popen[bytes] | None = None,
) -> bool:
    """Poll a condition; return False if the time is up or the process has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        if process is not None and process.poll() is not None:
            return False
        time.sleep(0.05)
    return False
