"""The pictures in docs/screenshots, made from a running service; see ./sre/screenshots."""

from __future__ import annotations

import re
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from sre.lib.stack import run, temporary_stack
from tests.browser.chromium import NoBrowserError, browser
from tests.browser.staffed_service import StaffedService, staffed_service
from tests.support import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TARGET = ROOT / "docs" / "screenshots"
SIZE = {"width": 1440, "height": 900}


def main() -> int:
    TARGET.mkdir(parents=True, exist_ok=True)
    try:
        with (
            browser() as running,
            temporary_stack(fsync=False) as stack,
            staffed_service(stack) as service,
        ):
            _make(running, service)
    except NoBrowserError as error:
        sys.stderr.write(f"sre/screenshots: {error}\n")
        return 2
    return 0


def _make(running: Browser, service: StaffedService) -> None:
    _shoot(running, service, "empty", ["dashboard", "list"])
    run(service.environment, "-m", "sre.lib.fill", "10000", "--days", "8")
    request = urllib.request.Request(f"{service.url}/api/upload-random", method="POST")
    for _ in range(3):
        urllib.request.urlopen(request, timeout=10).close()
    service.seal()
    service.manage("verify_audit")
    _shoot(running, service, "full", ["dashboard", "list", "upload", "proof"])


def _shoot(
    running: Browser, service: StaffedService, state: str, pages: list[str]
) -> None:
    url = service.url
    for scheme in ("light", "dark"):
        context = running.new_context(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{url}/admin/")
        page.fill("#id_username", "admin")
        page.fill("#id_password", service.password)
        page.click("input[type=submit]")
        for name in pages:
            if name == "dashboard":
                page.goto(f"{url}/admin/?range=7d")
            else:
                # The counts also show outcomes that are not among the first rows.
                counts = "?_facets=True" if name == "list" else ""
                page.goto(f"{url}/admin/uploads/upload/{counts}")
            if name in {"upload", "proof"}:
                page.locator("#result_list tbody tr a").first.click()
            if name == "proof":
                page.get_by_role("link", name="Show proof").click()
            if name == "upload":
                page.get_by_role("button", name="Verify now").click()
                page.click("#preview-button")
                # Not wait_for_function: it needs eval, which the page's policy blocks.
                page.locator("#preview", has_text=re.compile(r"\d")).wait_for()
            path = TARGET / f"{name}-{state}-{scheme}.png"
            page.evaluate("window.scrollTo(0, 0)")  # a click may have scrolled
            page.screenshot(path=path, full_page=name != "list")
            _shrink(path)
        context.close()


def _shrink(path: Path) -> None:
    """Reduce to 256 colours: a quarter of the bytes, looks the same."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
