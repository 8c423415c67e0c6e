"""A service with staff, and a browser that reports all that a page complains about."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import pytest

from sre.lib.stack import temporary_stack
from tests.browser.chromium import NoBrowserError, browser
from tests.browser.staffed_service import StaffedService, staffed_service

#: What WCAG 2.2 AA asks for, and what axe calls best practice.
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def staffed() -> Iterator[StaffedService]:
    """Run a service with uploads of each outcome, which are invented."""
    with temporary_stack(fsync=False) as stack, staffed_service(stack) as it:
        filling = "from sre.lib.fill import fill; fill(200, days=3)"
        it.manage("shell", "-v0", "-c", filling)
        yield it


@pytest.fixture(scope="module")
def running_browser() -> Iterator[Any]:
    """Run the browser for one module: while it runs, Django's ORM refuses this thread."""
    try:
        with browser() as running:
            yield running
    except NoBrowserError as error:
        if os.environ.get("BROWSER_REQUIRED"):
            pytest.fail(str(error))
        pytest.skip(f"NO BROWSER, the pages were not looked at: {error}")


class Visitor:
    """One browser window with its own session, and what its pages complained of."""

    def __init__(self, context: Any, service: StaffedService) -> None:
        self.page = context.new_page()
        self.service = service
        self.complaints: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("response", self._answered)
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) =>"
            " console.error('CSP: ' + event.violatedDirective + ' ' + event.blockedURI))"
        )

    def _heard(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _answered(self, response: Any) -> None:
        if response.request.resource_type == "document" and response.url.startswith(
            self.service.url
        ):
            policy = response.headers.get("content-security-policy", "")
            strict = "script-src 'self'; style-src 'self';"
            if response.status == 200 and strict not in policy:
                self.complaints.append(f"no policy: {response.url}")

    def go(self, path: str = "") -> Any:
        """Open a page of the admin."""
        return self.page.goto(f"{self.service.url}/admin/{path}")

    def log_in(self, name: str, password: str | None = None) -> None:
        """Fill in the login form that the page shows."""
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", password or self.service.password)
        self.page.get_by_role("button", name="Log in").click()

    def assert_accessible(self) -> None:
        """Run axe on the page as it is."""
        source = files("axe_playwright_python").joinpath("axe.min.js").read_text()
        self.page.evaluate(source)
        # Preloading would fetch the style sheets that others import, by an inline style.
        found = self.page.evaluate(
            "(tags) => axe.run(document, {runOnly: tags, preload: false})", AXE_TAGS
        )
        faults = [
            f"{violation['id']}: {node['html'][:200]} ({node['failureSummary']})"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]
        assert not faults, "\n".join(faults)


@pytest.fixture(scope="module")
def session_of(
    running_browser: Any, staffed: StaffedService
) -> Callable[[str], dict[str, Any]]:
    """Return a function that returns a user's session, which all tests share."""

    @cache
    def log_in(name: str) -> dict[str, Any]:
        with running_browser.new_context() as context:
            visitor = Visitor(context, staffed)
            visitor.go()
            visitor.log_in(name)
            visitor.page.wait_for_selector("h1:text-is('Dashboard')")
            return dict(context.storage_state())

    return log_in


@pytest.fixture
def visit(
    running_browser: Any,
    staffed: StaffedService,
    session_of: Callable[[str], dict[str, Any]],
) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens a window; at the end nothing may have complained."""
    opened = []

    def open_window(name: str = "", **options: Any) -> Visitor:
        if name:
            options["storage_state"] = session_of(name)
        size = {"width": 1440, "height": 900}
        context = running_browser.new_context(**{"viewport": size, **options})
        context.set_default_timeout(60_000)
        opened.append((context, visitor := Visitor(context, staffed)))
        return visitor

    yield open_window
    complaints = [c for _, visitor in opened for c in visitor.complaints]
    for context, _ in opened:
        context.close()
    assert complaints == []


@pytest.fixture
def upload(staffed: StaffedService) -> dict[str, Any]:
    """Return what the API says of a new upload."""
    request = urllib.request.Request(f"{staffed.url}/api/upload-random", method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))
