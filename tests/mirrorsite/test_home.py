"""The page at `/`, by Django's client; tests/browser looks at it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from mirrorsite import home
from mirrorsite.actors import Actor
from mirrorsite.rate_limits import RateLimiter
from uploads.bulkhead import Bulkhead
from uploads.models import Status, Upload, UploadEvent
from uploads.services import create_upload
from uploads.storage import UploadStorage

pytestmark = pytest.mark.django_db
UNKNOWN = "01937b5e-2f0a-7c3d-9a41-5b7f3f0e8c11"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def browser() -> Client:
    """Return a client that needs CSRF tokens, as browsers do."""
    return Client(enforce_csrf_checks=True)


def form_of(page: Any) -> dict[str, str]:
    """Return the hidden fields of the upload form."""
    return dict(
        re.findall(
            r'<input type="hidden" name="(\w+)" value="([^"]+)"', page.content.decode()
        )
    )


def send(browser: Client, size: str = "", form: dict[str, str] | None = None) -> Any:
    """Fill in the upload form and send it."""
    fields = form_of(browser.get("/")) if form is None else form
    return browser.post("/", {**fields, "size": size})


def text_of(response: Any) -> str:
    return str(response.content, "utf-8")


def alert_in(response: Any) -> str:
    found = re.search(r'role="alert">(.*?)</div>', text_of(response), re.DOTALL)
    return "" if found is None else re.sub(r"\s*<[^>]+>\s*", " ", found[1]).strip()


class TestPage:
    @pytest.mark.parametrize("accept", ["application/json", "*/*"])
    def test_it_is_a_page__whatever_is_accepted(self, client, accept):
        response = client.get("/", headers={"Accept": accept})
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self'; style-src 'self';" in policy
        assert "<script" not in text_of(response)

    def test_links_lead_somewhere_and_all_is_ready(self, client, bucket):
        page = text_of(client.get("/"))
        links = set(re.findall(r'<a href="(/[^"]*)"', page))
        assert {"/api/docs", "/api/problems", "/admin/", "/api/ready"} <= links
        for link in links:
            assert client.get(link).status_code in {200, 302}, link
        for name in ("Health", "Database", "Migrations", "Bucket", "Trail"):
            assert name in page
        assert "not ok" not in page

    @pytest.mark.parametrize("path", ["/", "/admin/login/"])
    @pytest.mark.parametrize(
        ("kind", "coding", "detail"),
        [
            (f"{FORM}; charset=utf-16", "", "in UTF-8"),
            (f"{FORM}; charset=nope", "", "in UTF-8"),
            (FORM, "gzip", "without a Content-Encoding"),
            ("application/json", "", "must be application/x-www-form-urlencoded or"),
            ("", "", "must be application/x-www-form-urlencoded or"),
        ],
    )
    def test_body_that_is_no_form__415(self, path, kind, coding, detail):
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        fields = {"Content-Encoding": coding} if coding else {}
        response = client.generic(
            "POST", path, "size=3", content_type=kind, headers=fields
        )
        assert response.status_code == 415
        assert detail in text_of(response)
        assert response.headers["X-Content-Type-Options"] == "nosniff"

    def test_form_that_says_it_is_utf_8(self, browser, bucket):
        body = urlencode(form_of(browser.get("/")) | {"size": "3"})
        kind = f"{FORM}; charset=UTF-8"
        assert browser.generic("POST", "/", body, kind).status_code == 303
        assert Upload.objects.get().size == 3

    def test_methods(self, browser):
        head = browser.head("/")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["Content-Length"]) > 1000
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
            response = browser.generic(method, "/")
            assert response.status_code == 405
            assert response.headers["Allow"] == "GET, HEAD, POST"

    @pytest.mark.parametrize(
        ("path", "location", "cached"),
        [
            ("/admin", "/admin/", None),
            ("/favicon.ico", "/static/uploads/icon.svg", "public, max-age=86400"),
        ],
    )
    def test_redirects(self, client, path, location, cached):
        for response in (client.get(path), client.head(path)):
            assert (response.status_code, response["location"]) == (302, location)
            assert response.headers.get("Cache-Control") == cached


class TestMirror:
    @pytest.mark.parametrize("word", ["fOoBar25", "é & ü+?"])
    def test_word__and_the_link_gives_the_same_as_json(self, client, word):
        response = client.get("/", {"word": word})
        assert response.status_code == 200
        page = text_of(response)
        (link,) = re.findall(r'<a href="(/api/mirror[^"]+)"', page)
        transformed = client.get(link).json()["transformed"]
        assert f"<bdi>{escape(transformed)}</bdi>" in page
        assert f'value="{escape(word)}"' in page

    def test_markup_is_text(self, client):
        page = text_of(client.get("/", {"word": '"><script>x</script>'}))
        assert "<SCRIPT" not in page
        assert "<script" not in page

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ("word=" + "a" * 2001, "at most 2000 are allowed"),
            ("word=a&word=b", "given 2 times"),
            ("word=%FF", "not valid UTF-8"),
        ],
    )
    def test_bad_word__400(self, client, query, said):
        response = client.get(f"/?{query}")
        assert response.status_code == 400
        assert said in alert_in(response)


class TestUpload:
    def test_redirects_to_the_record(self, browser, bucket):
        response = send(browser, "10")

        upload = Upload.objects.get()
        assert response.status_code == 303
        assert (upload.status, upload.size) == (Status.STORED, 10)
        page = text_of(browser.get(response.headers["Location"]))
        for fact in (upload.key, upload.sha256, "10 bytes", "label-stored"):
            assert fact in page
        # The API shows them only to readers, and so does the page.
        assert "Events" not in page
        assert "/content" not in page

    def test_sent_twice__one_upload__but_each_page_has_its_own_form(
        self, browser, bucket
    ):
        form = form_of(browser.get("/"))
        places = {
            send(browser, "", form).headers["Location"].partition("%3A")[0]
            for _ in range(2)
        }
        assert len(places) == 1
        assert Upload.objects.get().number is not None
        assert send(browser).status_code == 303
        assert Upload.objects.count() == 2

    def test_sent_again_with_another_size__422(self, browser, bucket):
        form = form_of(browser.get("/"))
        send(browser, "5", form)
        response = send(browser, "6", form)
        assert response.status_code == 422
        assert "sent before" in alert_in(response)
        assert send(browser, "6", form_of(response)).status_code == 303

    def test_bad_size__400(self, browser, bucket):
        form = form_of(browser.get("/"))
        number = "Enter a whole number."
        least = "Ensure this value is greater than or equal to 1."
        most = "Ensure this value is less than or equal to 67108864."
        for size, message in (
            ("0", least), ("-1", least), ("67108865", most), ("1.5", number),
            ("x", number), ("1\x00", number), ("9" * 5000, number), ("x" * 5000, number),
        ):  # fmt: skip
            response = send(browser, size, form)
            assert response.status_code == 400, size
            assert 'aria-invalid="true"' in text_of(response), size
            assert message in text_of(response), size
            assert "the size was not valid. Correct it below." in alert_in(response)
        assert not Upload.objects.exists()

    def test_bad_key__400(self, browser, bucket):
        key = "x" * 5000
        response = send(browser, form=form_of(browser.get("/")) | {"key": key})
        assert response.status_code == 400
        assert key not in text_of(response)
        assert "the form was damaged. Send the new one below." in alert_in(response)
        assert not Upload.objects.exists()
        assert send(browser, form=form_of(response)).status_code == 303

    def test_sent_again_while_it_is_processed__409(self, browser, bucket):
        form = form_of(browser.get("/"))
        send(browser, form=form)
        Upload.objects.update(status=Status.PENDING, stored_at=None)
        response = send(browser, form=form)
        assert response.status_code == 409
        assert "its upload is being processed" in alert_in(response)
        assert "Idempotency-Key" not in text_of(response)
        assert form_of(response)["key"] == form["key"]

    def test_without_csrf_token__403_with_a_new_form(self, browser, bucket):
        response = browser.post("/", {"size": "1"})
        assert response.status_code == 403
        assert "the form has expired" in alert_in(response)
        assert not Upload.objects.exists()
        assert send(browser, form=form_of(response)).status_code == 303

    def test_not_a_form__400(self, client):
        response = client.post("/", b"x", content_type="multipart/form-data; a=b")
        assert response.status_code == 400

    @pytest.mark.parametrize("is_staff", [True, False])
    def test_staff__recorded_under_their_name(self, browser, bucket, is_staff):
        user = User.objects.create_user("sam", is_staff=is_staff)
        browser.force_login(user)
        send(browser)
        upload = Upload.objects.get()
        expected = ("user:sam", user.pk) if is_staff else ("anonymous", None)
        assert (upload.requester_name, upload.requester_id) == expected


class TestRefusals:
    def test_token_needed__401(self, staff, bucket, settings):
        form = form_of(staff.get("/"))
        settings.UPLOAD_AUTH = "token"
        page = text_of(staff.get("/"))
        assert "Uploads need a token" in page
        assert "Authorization: Bearer" in page
        assert 'method="post"' not in page
        response = send(staff, form=form)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert not Upload.objects.exists()

    def test_rate_limit__429(self, browser, bucket, settings, monkeypatch):
        settings.UPLOAD_RATE_LIMIT = (2, 86_400)
        monkeypatch.setattr(home, "limiter", RateLimiter())
        for left in ("1", "0"):
            response = send(browser)
            assert response.status_code == 303
            assert f"r={left};" in response.headers["RateLimit"]
        response = send(browser)
        assert response.status_code == 429
        assert "More than 2 requests" in alert_in(response)
        assert 0 < int(response.headers["Retry-After"]) <= 86_400
        assert Upload.objects.count() == 2

    def test_no_permit__503(self, browser, bucket, monkeypatch):
        full = Bulkhead(0, 1, max_wait_seconds=0)
        monkeypatch.setattr("uploads.services.store_bulkhead", lambda: full)
        response = send(browser)
        assert response.status_code == 503
        assert "Too many requests are waiting" in alert_in(response)
        assert response.headers["Retry-After"] == "5"
        assert "Try again in 5 seconds" in alert_in(response)
        assert not Upload.objects.exists()

    @pytest.mark.parametrize(("fault", "status"), [("403", 502), ("503", 503)])
    def test_store_fails__its_record_is_a_link_away(
        self, browser, faulty_store, fault, status
    ):
        faulty_store.always("PUT", fault)
        response = send(browser)
        assert response.status_code == status
        upload = Upload.objects.get()
        assert f"recorded as {upload.status}" in alert_in(response)
        (link,) = re.findall(r'<a href="([^"]+)">Show the record', text_of(response))
        page = text_of(browser.get(link))
        assert f"label-{upload.status}" in page
        assert upload.key in page


class TestRecord:
    @pytest.fixture
    def upload(self, bucket: UploadStorage) -> Upload:
        return create_upload(actor=Actor(request_id="request-1")).upload

    def test_link_that_is_not_signed_for_this_upload__403(self, browser, upload):
        link = send(browser).headers["Location"].partition("#")[0]
        page = browser.get(link)
        assert page.status_code == 200
        assert upload.key not in text_of(page)
        newest = Upload.objects.exclude(pk=upload.pk).get()
        for other in (
            f"/?upload={upload.pk}",
            link.replace(str(newest.pk), str(upload.pk)),
            *(f"{link}{quote(change)}" for change in ("x", " ", "\0")),
        ):
            response = browser.get(other)
            assert response.status_code == 403, other
            assert "Staff can log in" in alert_in(response)
            assert "label-stored" not in text_of(response).partition("Health")[0]

    def test_link_expires(self, browser, upload, monkeypatch):
        link = send(browser).headers["Location"].partition("#")[0]
        later = (timezone.now() + home.LINK_AGE + timedelta(seconds=2)).timestamp()
        monkeypatch.setattr("django.core.signing.time.time", lambda: later)
        response = browser.get(link)
        assert response.status_code == 403
        assert "expired" in alert_in(response)

    def test_auditor__events_and_content(self, staff, upload):
        UploadEvent.objects.bulk_create(
            UploadEvent(
                upload=upload, action="verified", at=timezone.now(), actor="user:eve"
            )
            for _ in range(home.MAX_EVENTS - 1)
        )
        page = text_of(staff.get("/", {"upload": str(upload.pk)}))
        assert page.count("Verified</strong> by user:eve") == home.MAX_EVENTS - 1
        assert page.count("Stored</strong> by anonymous") == 1
        assert "Requested</strong>" not in page
        assert "Older events" in page
        assert f'href="/api/uploads/{upload.pk}/content"' in page
        assert f'href="/admin/uploads/upload/{upload.pk}/change/"' in page

    @pytest.mark.parametrize(
        ("codenames", "status"), [([], 403), (["view_upload"], 200)]
    )
    def test_other_staff__no_events_and_no_content(
        self, browser, upload, codenames, status
    ):
        user = User.objects.create_user("half", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        browser.force_login(user)
        response = browser.get("/", {"upload": str(upload.pk)})
        assert response.status_code == status
        own = browser.get(send(browser).headers["Location"])
        assert "label-stored" in text_of(own)
        for page in (response, own):
            assert "Events" not in text_of(page)
            assert "/content" not in text_of(page)

    def test_nothing_stored__no_link_to_content(self, staff, upload):
        for status in ("failed", "missing", "purged", "pending"):
            Upload.objects.filter(pk=upload.pk).update(status=status, error="no bucket")
            page = text_of(staff.get("/", {"upload": str(upload.pk)}))
            assert f"label-{status}" in page
            assert "no bucket" in page
            assert "/content" not in page

    def test_unknown__404(self, staff):
        for link in (UNKNOWN, "x", "0" * 5000, "\0"):
            response = staff.get("/", {"upload": link})
            assert response.status_code == 404, link
            assert "no upload with this id" in alert_in(response)


class TestNoDatabase:
    def test_page_and_mirror_work(self, staff, bucket, no_database):
        response = staff.get("/", {"word": "luca"})
        assert response.status_code == 200
        assert "<bdi>ACUL</bdi>" in text_of(response)
        assert "Unavailable: the database does not answer" in text_of(response)

    @pytest.mark.parametrize("visitor", ["browser", "staff"])
    def test_upload_and_record__503(self, visitor, bucket, request):
        client = request.getfixturevalue(visitor)
        client.raise_request_exception = False
        link = send(client).headers["Location"]
        (key,) = bucket.list_keys("")
        form = form_of(client.get("/"))
        request.getfixturevalue("no_database")
        for response in (send(client, form=form), client.get(link)):
            assert response.status_code == 503
            assert response.headers["Retry-After"]
            assert "The database is unavailable" in text_of(response)
        assert list(bucket.list_keys("")) == [key]
