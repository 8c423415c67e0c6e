"""The page at `/` as people see it, with and without scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser
Visit = Callable[..., Visitor]
SIZES = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 844},
}


def open_home(visit: Visit, size: str, **options: Any) -> Visitor:
    visitor = visit(**options)
    visitor.page.set_viewport_size(SIZES[size])
    visitor.page.goto(f"{visitor.service.url}/")
    return visitor


def mirror_and_upload(page: Any) -> None:
    """Go through the page, as someone would who sees it for the first time."""
    page.get_by_role("textbox", name="Word").fill("fOoBar25")
    page.get_by_role("button", name="Mirror").click()
    assert page.locator("output").inner_text() == "47RAbOoF"
    page.get_by_label("Size in bytes").fill("10")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**upload=*")
    record = page.get_by_role("region", name="Record of the upload").inner_text()
    for fact in ("stored", "uploads/", "10 bytes", " ms"):
        assert fact in record


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_mirror_upload_and_record(visit, scheme, size):
    visitor = open_home(visit, size, color_scheme=scheme)
    page = visitor.page
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    shown = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}
    assert background == shown[scheme]
    readiness = page.get_by_role("region", name="Health and readiness").inner_text()
    assert "not ok" not in readiness
    visitor.assert_accessible()
    mirror_and_upload(page)
    visitor.assert_accessible()
    is_too_wide = "document.documentElement.scrollWidth > innerWidth"
    assert not page.evaluate(is_too_wide)


def test_without_scripts(visit):
    mirror_and_upload(open_home(visit, "phone", java_script_enabled=False).page)


def test_reload_then_events_after_the_login(visit, staffed):
    visitor = open_home(visit, "desktop")
    page = visitor.page
    mirror_and_upload(page)
    address = page.url
    page.reload()
    assert page.url == address

    # Staff come from the record to the login, and back to the same record.
    page.get_by_role("link", name="Log in").click()
    page.fill("#id_username", "auditor")
    page.fill("#id_password", staffed.password)
    page.get_by_role("button", name="Log in").click()
    events = page.get_by_role("list", name="Events, newest first")
    assert events.locator("strong").all_inner_texts() == ["Stored", "Requested"]
    visitor.assert_accessible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert len(download.value.path().read_bytes()) == 10
    page.reload()
    assert "Downloaded by user:auditor" in events.inner_text()
