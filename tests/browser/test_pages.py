"""The pages as people see them: a real browser, gunicorn, PostgreSQL and the S3 server."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Visitor
from tests.support import ROOT, path_with_aws, run_program

pytestmark = pytest.mark.browser
Visit = Callable[..., Visitor]
LIST = "uploads/upload/"
PHONE = {"width": 390, "height": 844}
BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


def open_home(visit: Visit, **options: Any) -> Visitor:
    visitor = visit(**options)
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


class TestHome:
    def test_on_a_phone_in_the_dark(self, visit):
        visitor = open_home(visit, color_scheme="dark", viewport=PHONE)
        page = visitor.page
        assert page.evaluate(BACKGROUND) == BACKGROUNDS["dark"]
        visitor.assert_accessible()
        mirror_and_upload(page)
        visitor.assert_accessible()
        is_too_wide = "document.documentElement.scrollWidth > innerWidth"
        assert not page.evaluate(is_too_wide)

    def test_without_scripts(self, visit):
        visitor = open_home(visit, java_script_enabled=False, viewport=PHONE)
        mirror_and_upload(visitor.page)

    def test_reload_then_events_after_the_login(self, visit):
        visitor = open_home(visit, color_scheme="light")
        page = visitor.page
        assert page.evaluate(BACKGROUND) == BACKGROUNDS["light"]
        mirror_and_upload(page)
        address = page.url
        page.reload()
        assert page.url == address

        # Staff come from the record to the login, and back to the same record.
        page.get_by_role("link", name="Log in").click()
        visitor.log_in("auditor")
        events = page.get_by_role("list", name="Events, newest first")
        assert events.locator("strong").all_inner_texts() == ["Stored", "Requested"]
        visitor.assert_accessible()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert len(download.value.path().read_bytes()) == 10
        page.reload()
        assert "Downloaded by user:auditor" in events.inner_text()


def test_login__wrong_then_right_then_out(visit):
    visitor = visit()
    page = visitor.page
    visitor.go("uploads/uploadevent/?action__exact=logged_out")
    visitor.log_in("auditor", "wrong")
    assert "Please enter the correct username" in page.inner_text(".errornote")
    visitor.assert_accessible()
    visitor.log_in("auditor")
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("link", name="Log in again").click()
    visitor.log_in("admin")
    visitor.go("uploads/uploadevent/?action__exact=login_failed")
    assert "anonymous" in page.inner_text("#result_list tbody tr:first-child")
    visitor.go("uploads/uploadevent/?action__exact=logged_out")
    assert "user:auditor" in page.inner_text("#result_list tbody tr:first-child")


class TestList:
    def test_filter_search_copy_and_open(self, visit, upload):
        visitor = visit("auditor", permissions=["clipboard-read", "clipboard-write"])
        page = visitor.page
        visitor.go(LIST)
        page.get_by_role("link", name="Failed", exact=True).click()
        page.wait_for_url("**status__exact=failed*")
        labels = page.locator("#result_list .label").all_inner_texts()
        assert set(labels) == {"failed"}
        page.get_by_role("link", name="Last 24 hours").click()
        page.wait_for_url("**within=24h*")
        page.get_by_role("link", name="Show counts").click()
        page.wait_for_url("**_facets=True*")
        failed = page.get_by_role("link", name="Failed (").inner_text()
        assert failed == f"Failed ({page.locator('#result_list .label').count()})"
        page.get_by_role("link", name="Clear all filters").click()

        page.fill("#searchbar", upload["sha256"][:16])
        page.press("#searchbar", "Enter")
        page.wait_for_url("**q=*")
        assert page.locator("#result_list tbody tr").count() == 1
        visitor.assert_accessible()
        page.get_by_role("button", name="Copy key").click()
        page.wait_for_selector("button.copied")
        assert page.evaluate("navigator.clipboard.readText()") == upload["key"]
        page.locator("#result_list tbody a").first.click()
        page.wait_for_url("**/change/")
        assert upload["id"] in page.inner_text("h1")
        assert upload["sha256"] in page.inner_text(".facts >> nth=0")

    def test_keyboard_pages_and_dates(self, visit):
        visitor = visit("auditor")
        page = visitor.page
        visitor.go(LIST)
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.textContent")
        assert focused == "Skip to main content"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "searchbar"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"

        first = page.locator("#result_list tbody a").first.inner_text()
        page.get_by_role("link", name="Older").click()
        page.wait_for_url("**p=older*")
        assert page.locator("#result_list tbody a").first.inner_text() != first
        page.get_by_role("link", name="Newer").click()
        page.wait_for_url("**p=newer*")
        assert page.locator("#result_list tbody a").first.inner_text() == first
        # On the first days of a month, or a year, there are two of those to choose from.
        for _ in range(3):
            last = page.locator(".dates a").last
            chosen = str(last.get_attribute("href"))
            last.click()
            page.wait_for_url(lambda url, chosen=chosen: url.endswith(chosen))
            if re.search(r"-\d\d-\d\d$", chosen):
                break
        page.locator(".dates a").last.click()
        page.wait_for_url(re.compile(r"on=\d{4}-\d\d-\d\dT\d\d$"))
        assert page.locator("#result_list tbody tr").count() > 0
        assert page.get_by_role("link", name="All dates").count() == 1

    def test_export_of_all_that_match(self, visit):
        visitor = visit("auditor")
        page = visitor.page
        visitor.go(f"{LIST}?status__exact=stored")
        count = int(page.inner_text(".paginator .count").split()[0].replace(",", ""))
        assert count > 50
        page.check("#action-toggle")
        page.get_by_role("button", name="Select all").click()
        page.select_option("select[name=action]", "export_csv")
        with page.expect_download() as download:
            page.get_by_role("button", name="Go").click()
        text = Path(download.value.path()).read_text()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["status"] for row in rows] == ["stored"] * count


def test_verify_preview_and_proof(visit, upload, staffed, tmp_path):
    visitor = visit("auditor")
    page = visitor.page
    visitor.go(f"{LIST}{upload['id']}/change/")
    page.get_by_role("button", name="Verify now").click()
    assert "Verified: size and SHA-256 match" in page.inner_text(".messagelist")
    newest = page.inner_text(".timeline li:first-child p")
    assert newest.startswith("verified by user:auditor")

    page.get_by_role("link", name="Show content").click()
    page.locator("#preview", has_text=str(upload["number"])).wait_for()

    staffed.seal()
    page.reload()
    assert page.locator(".timeline a", has_text="seal").count() == 4
    visitor.assert_accessible()
    page.get_by_role("link", name="Show proof").click()
    page.wait_for_url("**/proof/")
    assert page.locator("#content tbody tr").count() == 4
    assert "not sealed yet" not in page.inner_text("#content")
    signature = page.inner_text("dt:text-is('Signature') + dd")
    assert re.fullmatch("[0-9a-f]{128}", signature)
    visitor.assert_accessible()

    # What the page says to do elsewhere, done there: no service, no database.
    (tmp_path / "sre").symlink_to(ROOT / "sre")
    checked = run_program(
        ["bash", "-euo", "pipefail", "-c", page.inner_text("pre")],
        cwd=tmp_path,
        env=staffed.environment | {"PATH": path_with_aws(tmp_path / "aws")},
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    lines = [line for line in checked.stdout.splitlines() if line[:1] == "{"]
    actions = [json.loads(line)["action"] for line in lines]
    assert actions == ["requested", "stored", "verified", "downloaded"]


def test_preview__an_error_page_is_not_shown_as_markup(visit, upload):
    visitor = visit("auditor")
    page = visitor.page
    visitor.go(f"{LIST}{upload['id']}/change/")
    answer = {"status": 503, "content_type": "text/html", "body": "<h1>None</h1>"}
    page.route("**/preview/", lambda route: route.fulfill(**answer))
    page.get_by_role("link", name="Show content").click()
    page.locator("#preview.failed").wait_for()
    assert "503" in page.inner_text("#preview")
    visitor.complaints.clear()  # the browser logs the 503


def test_dashboard__charts_and_the_switch_to_dark(visit, upload):
    visitor = visit("auditor", color_scheme="light")
    page = visitor.page
    visitor.go()
    boxes = [chart.bounding_box() for chart in page.locator("svg.chart").all()]
    assert len(boxes) == 3
    assert all(box["width"] > 400 and box["height"] > 100 for box in boxes)
    assert page.locator("svg.chart path.series-p95").count() >= 1
    bars = page.locator("svg.chart rect.series-stored")
    count = bars.count()
    assert count > 12
    page.locator("summary", has_text="The numbers as a table").first.click()
    assert page.locator("figure table").first.is_visible()
    visitor.assert_accessible()
    fill = "e => getComputedStyle(e).fill"
    assert bars.first.evaluate(fill) == "rgb(59, 143, 85)"
    # From what the browser prefers to the opposite, and to light.
    for scheme in ("dark", "light"):
        page.locator("#header .theme-toggle").click()
        page.wait_for_function(f"{BACKGROUND} == '{BACKGROUNDS[scheme]}'")
        if scheme == "dark":
            assert bars.first.evaluate(fill) == "rgb(76, 168, 106)"
    page.get_by_role("link", name="Last 7 days").click()
    page.wait_for_url("**range=7d")
    assert bars.count() > 48
    assert page.evaluate(BACKGROUND) == BACKGROUNDS["light"]


def test_lists_are_accessible_on_a_phone(visit, staffed):
    visitor = visit("admin", viewport={"width": 360, "height": 740})
    for path in (LIST, f"{LIST}?q=none-such", "uploads/uploadevent/"):
        visitor.go(path)
        visitor.assert_accessible()


def test_form_sent_after_the_session_expired(visit, upload):
    visitor = visit()
    page = visitor.page
    visitor.go(f"{LIST}{upload['id']}/change/")
    visitor.log_in("auditor")
    address = page.url
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Verify now").click()
    visitor.log_in("auditor")
    page.wait_for_url(address)
    page.get_by_role("button", name="Verify now").click()
    assert "Verified: size and SHA-256 match" in page.inner_text(".messagelist")


def test_pages_are_accessible_in_the_dark(visit, upload, staffed):
    # The light ones are looked at where they are used.
    staffed.seal()
    visitor = visit("admin", color_scheme="dark")
    for path in (
        "",
        f"{LIST}?p=oldest&_facets=True",
        f"{LIST}{upload['id']}/change/",
        f"{LIST}{upload['id']}/proof/",
        "uploads/uploadevent/?action__exact=failed",
        "uploads/uploadevent/1/change/",
        "uploads/auditseal/1/change/",
        "tokens/token/add/",
    ):
        visitor.go(path)
        visitor.assert_accessible()
