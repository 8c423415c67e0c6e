"""The admin as staff see it: a real browser, gunicorn, PostgreSQL and the S3 server."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Visitor
from tests.browser.staffed_service import StaffedService
from tests.support import ROOT, run_program

pytestmark = pytest.mark.browser
Visit = Callable[..., Visitor]
LIST = "uploads/upload/"


@pytest.fixture(scope="module", autouse=True)
def filled(staffed: StaffedService) -> None:
    """Have uploads of each outcome; these are invented, the tests' own are real."""
    staffed.manage(
        "shell",
        "-v0",
        "-c",
        "from sre.lib.fill import fill; fill(200, days=3, seed=1)",
    )


class TestLogin:
    def test_wrong_then_right_then_out(self, visit):
        visitor = visit()
        page = visitor.log_in("auditor", "wrong")
        assert "Please enter the correct username" in page.inner_text(".errornote")
        visitor.assert_accessible()
        page = visitor.log_in("auditor")
        assert page.inner_text("h1") == "Dashboard"
        page.get_by_role("button", name="Log out").click()
        page.get_by_role("link", name="Log in again").click()
        assert page.locator("#id_username").count() == 1

        visitor.log_in("admin")
        visitor.go("uploads/uploadevent/?action__exact=login_failed")
        assert "anonymous" in page.inner_text("#result_list tbody tr:first-child")
        visitor.go("uploads/uploadevent/?action__exact=logged_out")
        assert "user:auditor" in page.inner_text("#result_list tbody tr:first-child")


class TestList:
    def test_filter_search_and_open(self, visit, upload):
        visitor = visit()
        page = visitor.log_in("auditor")
        visitor.go(LIST)
        page.get_by_role("link", name="Failed", exact=True).click()
        page.wait_for_url("**status__exact=failed*")
        labels = page.locator("#result_list .label").all_inner_texts()
        assert labels
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
        page.locator("#result_list tbody a").first.click()
        page.wait_for_url("**/change/")
        assert upload["id"] in page.inner_text("h1")
        assert upload["sha256"] in page.inner_text(".facts >> nth=0")

    def test_pages_and_dates(self, visit):
        visitor = visit()
        page = visitor.log_in("auditor")
        visitor.go(LIST)
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
        page.wait_for_url(re.compile(r"on=\d{4}-\d\d-\d\d$"))
        page.locator(".dates a").last.click()
        page.wait_for_url(re.compile(r"on=.*T\d\d$"))
        assert page.locator("#result_list tbody tr").count() > 0
        assert page.get_by_role("link", name="All dates").count() == 1

    def test_copying(self, visit, upload):
        visitor = visit(permissions=["clipboard-read", "clipboard-write"])
        page = visitor.log_in("auditor")
        visitor.go(f"{LIST}?q={upload['id']}")
        page.get_by_role("button", name="Copy key").click()
        page.wait_for_selector("button.copied")
        assert page.evaluate("navigator.clipboard.readText()") == upload["key"]

    def test_keyboard(self, visit):
        visitor = visit()
        page = visitor.log_in("auditor")
        visitor.go(LIST)
        page.keyboard.press("Tab")
        assert (
            page.evaluate("document.activeElement.textContent")
            == "Skip to main content"
        )
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "searchbar"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


class TestUploadPage:
    def test_verify_preview_and_proof(self, visit, upload, staffed, tmp_path):
        visitor = visit()
        page = visitor.log_in("auditor")
        visitor.go(f"{LIST}{upload['id']}/change/")
        page.get_by_role("button", name="Verify now").click()
        assert "Verified: size and SHA-256 are right" in page.inner_text(".messagelist")
        newest = page.inner_text(".timeline li:first-child p")
        assert newest.startswith("verified by user:auditor")

        page.get_by_role("link", name="Show content").click()
        page.locator("#preview", has_text=str(upload["number"])).wait_for()
        visitor.assert_accessible()

        staffed.seal()
        page.reload()
        assert page.locator(".timeline a", has_text="seal").count() == 4
        visitor.assert_accessible()
        page.get_by_role("link", name="Show proof").click()
        page.wait_for_url("**/proof/")
        assert page.locator("#content tbody tr").count() == 4
        assert "not sealed yet" not in page.inner_text("#content")
        assert re.fullmatch(
            r"[0-9a-f]{128}", page.inner_text("dt:text-is('Signature') + dd")
        )
        visitor.assert_accessible()

        # What the page says to do elsewhere, done there: no service, no database.
        (tmp_path / "sre").symlink_to(ROOT / "sre")
        checked = run_program(
            ["bash", "-euo", "pipefail", "-c", page.inner_text("pre")],
            cwd=tmp_path,
            env=staffed.environment
            | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        lines = [line for line in checked.stdout.splitlines() if line[:1] == "{"]
        assert [json.loads(line)["action"] for line in lines] == [
            "requested",
            "stored",
            "verified",
            "downloaded",
        ]


class TestActions:
    def test_export_of_all_that_match(self, visit):
        visitor = visit()
        page = visitor.log_in("auditor")
        visitor.go(f"{LIST}?status__exact=stored")
        count = int(page.inner_text(".paginator .count").split()[0].replace(",", ""))
        assert count > 50
        page.check("#action-toggle")
        page.get_by_role("button", name="Select all").click()
        page.select_option("select[name=action]", "export_csv")
        with page.expect_download() as download:
            page.get_by_role("button", name="Go").click()
        rows = list(
            csv.DictReader(io.StringIO(Path(download.value.path()).read_text()))
        )
        assert len(rows) == count
        assert {row["status"] for row in rows} == {"stored"}


class TestDashboard:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_charts_are_drawn(self, visit, scheme, upload):
        visitor = visit(color_scheme=scheme)
        page = visitor.log_in("auditor")
        boxes = [chart.bounding_box() for chart in page.locator("svg.chart").all()]
        assert len(boxes) == 3
        assert all(box["width"] > 400 and box["height"] > 100 for box in boxes)
        assert page.locator("svg.chart rect.series-stored").count() > 12
        assert page.locator("svg.chart path.series-p95").count() >= 1
        filled = page.locator("svg.chart rect.series-stored").first
        colour = filled.evaluate("e => getComputedStyle(e).fill")
        assert (
            colour == {"light": "rgb(59, 143, 85)", "dark": "rgb(76, 168, 106)"}[scheme]
        )
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (
            background
            == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[scheme]
        )
        page.locator("summary", has_text="The numbers as a table").first.click()
        assert page.locator("figure table").first.is_visible()
        visitor.assert_accessible()
        page.get_by_role("link", name="Last 7 days").click()
        page.wait_for_url("**range=7d")
        assert page.locator("svg.chart rect.series-stored").count() > 48

    def test_other_pages_are_accessible_in_the_dark(self, visit, upload, staffed):
        # The light ones are looked at where they are used.
        staffed.seal()
        visitor = visit(color_scheme="dark")
        visitor.log_in("admin")
        for path in (
            f"{LIST}?p=oldest&_facets=True",
            f"{LIST}{upload['id']}/change/",
            f"{LIST}{upload['id']}/proof/",
            "uploads/uploadevent/?action__exact=failed",
            "uploads/uploadevent/1/change/",
            "uploads/auditseal/",
            "uploads/auditseal/1/change/",
            "tokens/token/add/",
        ):
            visitor.go(path)
            visitor.assert_accessible()

    def test_the_switch_makes_it_dark(self, visit):
        visitor = visit(color_scheme="light")
        page = visitor.log_in("auditor")
        background = "getComputedStyle(document.body).backgroundColor"
        for shown in ("rgb(18, 18, 18)", "rgb(255, 255, 255)"):
            page.locator("#header .theme-toggle").click()
            page.wait_for_function(f"{background} == '{shown}'")
        page.reload()
        assert page.evaluate(background) == "rgb(255, 255, 255)"
