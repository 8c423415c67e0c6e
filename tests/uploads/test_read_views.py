"""The read side of the API: lists, details, events, content, verification."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.problems import slug
from tests.uploads.making import ACTOR, delete_object, last_event, pages, record
from uploads import object_verification, services, transitions
from uploads.api.read_views import UploadEventsView
from uploads.exceptions import TrailUnavailableError
from uploads.models import Action, Status, Upload, new_upload_id
from uploads.object_verification import Verification

pytestmark = pytest.mark.django_db

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"
PATHS = [
    "/api/uploads",
    "/api/uploads/",
    "/api/uploads?status=nonsense",
    "/api/uploads/{id}",
    "/api/uploads/{id}/",
    "/api/uploads/{id}/events",
    "/api/uploads/{id}/content",
    "/api/uploads/{id}/verify",
    "/api/uploads/{id}/nothing",
    "/api/uploads/{id}/events/more",
]


class TestWithoutCredentials:
    @pytest.mark.parametrize("method", ["get", "head", "options", "post", "delete"])
    def test_always_the_same_401(self, client, method):
        known = str(record().pk)
        answers = [
            getattr(client, method)(path.replace("{id}", identifier))
            for path in PATHS
            for identifier in (known, UNKNOWN, "not-an-id", "%00", "é")
        ]
        assert {answer.status_code for answer in answers} == {401}
        challenges = {answer["WWW-Authenticate"] for answer in answers}
        assert challenges == {'Bearer realm="mirrorsite"'}
        if method != "head":
            bodies = [answer.json() for answer in answers]
            for body in bodies:
                del body["instance"], body["request_id"]
            assert all(body == bodies[0] for body in bodies)

    def test_upload_random__is_another_path(self, client):
        answer = client.get("/api/upload-random")
        assert answer.status_code == 405
        assert "sessionid" not in answer.cookies


class TestStaffSession:
    @pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}])
    def test_others__401(self, staff, change):
        assert staff.get("/api/uploads").status_code == 200
        User.objects.update(**change)
        assert staff.get("/api/uploads").status_code == 401

    @pytest.mark.parametrize(
        ("permission", "method", "path", "status"),
        [
            ("view_upload", "GET", "", 200),
            ("view_uploadevent", "GET", "/events", 200),
            ("download_upload", "GET", "/content", 302),
            ("verify_upload", "POST", "/verify", 200),
        ],
    )
    def test_only_what_the_admin_lets_them(
        self, upload, permission, method, path, status
    ):
        user = User.objects.create_user("newcomer", is_staff=True)
        client = Client()
        client.force_login(user)
        address = f"/api/uploads/{upload.pk}{path}"

        refused = client.generic(method, address)
        assert (refused.status_code, slug(refused)) == (403, "permission-denied")
        assert upload.events.count() == 2

        user.user_permissions.add(Permission.objects.get(codename=permission))
        assert client.generic(method, address).status_code == status

    def test_content__is_an_event(self, staff, upload):
        path = f"/api/uploads/{upload.pk}/content"

        elsewhere = staff.get(path, headers={"sec-fetch-site": "cross-site"})
        assert (elsewhere.status_code, slug(elsewhere)) == (403, "permission-denied")
        assert staff.head(path).status_code == 302
        assert upload.events.count() == 2

        assert staff.get(path).status_code == 302
        assert last_event(upload) == (Action.DOWNLOADED, "user:sam")

    def test_verify__needs_csrf_and_ignores_a_body(self, staff, reader, upload):
        path = f"/api/uploads/{upload.pk}/verify"

        refused = staff.post(path)
        assert (refused.status_code, slug(refused)) == (403, "csrf-failed")
        assert upload.events.count() == 2

        staff.get("/admin/password_change/")  # its form brings the CSRF cookie
        csrf = {"x-csrftoken": staff.cookies["csrftoken"].value}
        for client, actor in ((staff, "user:sam"), (reader, "token:reader")):
            for kind, body in (
                ("application/json", "no JSON"),
                ("application/x-www-form-urlencoded", "a=b"),
                ("text/plain", "x"),
            ):
                answer = client.generic("POST", path, body, kind, headers=csrf)
                assert answer.status_code == 200, answer.content
                assert last_event(upload) == (Action.VERIFIED, actor)

    def test_session_does_not_upload(self, staff, settings):
        settings.UPLOAD_AUTH = "token"
        assert staff.post("/api/upload-random").status_code == 401


class TestDetail:
    def test_same_as_in_the_list(self, reader, django_assert_num_queries):
        upload = record()
        with django_assert_num_queries(2):
            answer = reader.get(f"/api/uploads/{upload.pk}")
        assert answer.json() == reader.get("/api/uploads").json()["results"][0]

    @pytest.mark.parametrize("suffix", ["", "/events", "/content"])
    def test_unknown__404(self, reader, suffix):
        for identifier in (UNKNOWN, "x", f"{{{UNKNOWN}}}", UNKNOWN.replace("-", "")):
            answer = reader.get(f"/api/uploads/{identifier}{suffix}")
            assert (answer.status_code, slug(answer)) == (404, "upload-not-found")

    def test_other_paths_and_methods(self, reader):
        path = f"/api/uploads/{record().pk}"
        answer = reader.get(f"{path}/nothing")
        assert (answer.status_code, slug(answer)) == (404, "not-found")
        for answer, allowed in (
            (reader.delete(path), "GET, HEAD, OPTIONS"),
            (reader.get(f"{path}/verify"), "POST, OPTIONS"),
        ):
            assert (answer.status_code, answer["Allow"]) == (405, allowed)


class TestEvents:
    def test_oldest_first(self, reader, upload):
        answer = reader.get(f"/api/uploads/{upload.pk}/events").json()

        assert answer["next"] is None
        assert [event["action"] for event in answer["results"]] == [
            "requested",
            "stored",
        ]
        first = upload.events.order_by("pk")[0]
        assert answer["results"][0] == {
            "id": first.pk,
            "action": "requested",
            "at": first.at.isoformat().replace("+00:00", "Z"),
            "actor": "anonymous",
            "request_id": "request-1",
            "detail": first.detail,
            "seal": None,
        }

    def test_pages(self, reader, monkeypatch):
        monkeypatch.setattr(UploadEventsView, "PAGE", 2)
        upload = record()
        for _ in range(4):
            transitions.record(upload, Action.REQUESTED, ACTOR)
        expected = list(upload.events.order_by("pk").values_list("pk", flat=True))
        found = list(pages(reader, f"/api/uploads/{upload.pk}/events"))
        assert [len(page) for page in found] == [2, 2, 1]
        assert [event["id"] for page in found for event in page] == expected

    @pytest.mark.parametrize(
        ("query", "field", "code"),
        [
            ("after=x", "after", "invalid-parameter"),
            ("after=-1", "after", "invalid-parameter"),
            ("after=1&after=2", "after", "repeated-parameter"),
            ("before=1", "before", "unknown-parameter"),
            ("before=%FF", "before", "invalid-parameter"),
        ],
    )
    def test_malformed__400(self, reader, query, field, code):
        answer = reader.get(f"/api/uploads/{record().pk}/events?{query}")
        assert (answer.status_code, slug(answer)) == (400, code)
        (error,) = answer.json()["errors"]
        assert (error["field"], error["code"]) == (field, code)


class TestContent:
    def test_redirect_to_the_bytes(self, reader, bucket):
        upload = services.create_upload(actor=ACTOR, size=1000).upload

        answer = reader.get(f"/api/uploads/{upload.pk}/content")

        assert answer.status_code == 302
        assert answer["Cache-Control"] == "no-store"
        assert "X-Amz-Expires=60" in answer["Location"]
        with urllib.request.urlopen(answer["Location"], timeout=10) as got:
            assert hashlib.sha256(got.read()).hexdigest() == upload.sha256
            assert got.headers["Content-Disposition"] == (
                f'attachment; filename="{upload.pk}.txt"'
            )
        changed = answer["Location"].replace(str(upload.pk), UNKNOWN)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(changed, timeout=10)

    def test_head__leads_to_the_object_and_not_to_its_bytes(self, reader, bucket):
        upload = services.create_upload(actor=ACTOR, size=1000).upload

        answer = reader.head(f"/api/uploads/{upload.pk}/content")

        assert answer.status_code == 302
        request = urllib.request.Request(answer["Location"], method="HEAD")
        with urllib.request.urlopen(request, timeout=10) as got:
            assert got.headers["Content-Length"] == "1000"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(answer["Location"], timeout=10)

    def test_no_address_without_its_event(self, reader, bucket, make_fail):
        upload = services.create_upload(actor=ACTOR).upload
        make_fail(
            transitions,
            "record_event",
            TrailUnavailableError("the record could not be written to the database"),
        )
        answer = reader.get(f"/api/uploads/{upload.pk}/content")
        assert (answer.status_code, slug(answer)) == (503, "trail-unavailable")
        assert "upload" not in answer.json()["detail"]  # this request uploads nothing
        assert "Location" not in answer

    def test_recorded_in_another_bucket__the_store_did_not_refuse(self, reader, upload):
        Upload.objects.filter(pk=upload.pk).update(bucket="elsewhere")
        path = f"/api/uploads/{upload.pk}"
        for answer in (reader.get(f"{path}/content"), reader.post(f"{path}/verify")):
            assert (answer.status_code, slug(answer)) == (502, "store-refused")
            assert answer.json()["detail"] == (
                "The object is in a bucket other than the configured one; nothing was"
                " recorded."
            )
        assert upload.events.count() == 2

    def test_not_stored(self, reader):
        upload = record()
        for status, code, expected in (
            (Status.PENDING, 409, "upload-not-stored"),
            (Status.FAILED, 409, "upload-not-stored"),
            (Status.CORRUPTED, 409, "object-corrupted"),
            (Status.MISSING, 404, "object-missing"),
            (Status.PURGED, 410, "upload-purged"),
        ):
            Upload.objects.filter(pk=upload.pk).update(status=status)
            answer = reader.get(f"/api/uploads/{upload.pk}/content")
            assert (answer.status_code, slug(answer)) == (code, expected)
            assert "Location" not in answer


class TestVerify:
    def verify(self, client: Client, upload: Upload) -> Any:
        return client.post(f"/api/uploads/{upload.pk}/verify")

    def test_verified__event_names_the_token(self, reader, upload):
        answer = self.verify(reader, upload)
        assert answer.status_code == 200
        assert answer.json()["result"] == "verified"
        assert answer.json()["differences"] == []
        assert last_event(upload) == (Action.VERIFIED, "token:reader")

    def test_object_gone__missing(self, reader, bucket, upload):
        delete_object(bucket, upload.key)
        answer = self.verify(reader, upload).json()
        assert answer["result"] == "missing"
        assert answer["upload"]["status"] == "missing"
        assert answer["differences"] == ["the object is not in the bucket"]

    def test_store_unreachable__503(self, reader, upload, make_storage, caplog):
        make_storage(endpoint_url="http://127.0.0.1:9", max_attempts=1)
        answer = self.verify(reader, upload)
        assert (answer.status_code, slug(answer)) == (503, "store-unavailable")
        assert "the object store is unreachable" in caplog.text
        assert answer["Retry-After"] == "5"

    def test_no_permit__503(self, reader, upload, no_permit):
        events = upload.events.count()
        answer = self.verify(reader, upload)
        assert (answer.status_code, slug(answer)) == (503, "store-busy")
        assert answer["Retry-After"] == "5"
        assert upload.events.count() == events

    def test_pending__409(self, reader, bucket):
        payload = services.payload_of(new_upload_id(), None)
        upload = record(size=payload.size, sha256=payload.sha256)
        bucket.put_new(upload.key, payload, {})
        answer = self.verify(reader, upload)
        assert (answer.status_code, slug(answer)) == (409, "upload-not-verifiable")
        assert answer.json()["detail"] == (
            "An upload that is pending has no object to verify."
        )
        assert upload.events.count() == 1

    @pytest.mark.parametrize(
        ("action", "detail"),
        [
            (Action.PURGED, "An upload that is purged has no object to verify."),
            (Action.MISSING, "The upload's status has just changed to missing."),
        ],
    )
    def test_changed_during_the_comparison__409_with_the_new_status(
        self, reader, upload, monkeypatch, action, detail
    ):
        def change(compared: Upload, **options: Any) -> Verification:
            transitions.record(Upload.objects.get(pk=compared.pk), action, ACTOR)
            return Verification(Action.VERIFIED, ())

        monkeypatch.setattr(object_verification, "examine", change)
        answer = self.verify(reader, upload)
        assert (answer.status_code, slug(answer)) == (409, "upload-not-verifiable")
        assert answer.json()["upload_status"] == action.value
        assert answer.json()["detail"] == detail
