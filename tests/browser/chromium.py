"""Debian's Chromium, driven by Playwright; it downloads no browser of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Besides Playwright's own, which keep Chromium from asking for updates: no proxy is
#: asked for the host under test.
FLAGS = ["--disable-gpu", "--proxy-server=direct://"]


class NoBrowserError(RuntimeError):
    """The browser or Playwright is missing; the message says how to install it."""


def chromium() -> str:
    """Return the path of a Chromium; `$CHROMIUM` names one of your own."""
    for name in (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser"):
        if path := name and shutil.which(name):
            return path
    raise NoBrowserError("no Chromium; run ./sre/browser-test, or set CHROMIUM to one.")


@contextmanager
def browser() -> Iterator[Browser]:
    """Run a Chromium with an empty profile; raises `NoBrowserError`."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NoBrowserError("playwright is not installed.") from error
    path = chromium()
    with (
        tempfile.TemporaryDirectory(prefix="mirrorsite-browser-") as home,
        sync_playwright() as playwright,
    ):
        running = playwright.chromium.launch(
            executable_path=path,
            args=FLAGS,
            env={**os.environ, "HOME": home, "XDG_CONFIG_HOME": str(Path(home))},
        )
        try:
            yield running
        finally:
            running.close()
