from __future__ import annotations

import base64

import pytest
from botocore.exceptions import NoCredentialsError
from django.test import Client

from mirrorsite.actors import Actor
from tests.uploads import making
from tests.uploads.audit.trails import KEY, Trail
from uploads import object_verification, transitions
from uploads.models import Action, AuditSeal, Status, Upload
from uploads.object_verification import Method, Verification
from uploads.storage import upload_storage

pytestmark = pytest.mark.django_db


def path(upload: Upload, act: str) -> str:
    return f"/admin/uploads/upload/{upload.pk}/{act}/"


def acts_of(upload: Upload) -> list[tuple[str, str]]:
    """Return actions and actors of the staff's events."""
    events = upload.events.filter(actor__startswith="user:").order_by("id")
    return list(events.values_list("action", "actor"))


class TestPages:
    def test_timeline__who_when_what_and_by_which_request(self, admin_client, upload):
        transitions.record(
            upload,
            Action.CORRUPTED,
            Actor(name="user:ada", request_id="r-2"),
            detail={"differences": ["size: 5, not 4"], "method": "head"},
        )
        text = admin_client.get(path(upload, "change")).content.decode()
        assert upload.sha256 in text
        timeline = text[text.index('<ol class="timeline"') :]
        newest = timeline[: timeline.index("</li>")]
        event = upload.events.latest("id")
        for fact in (
            "corrupted</span> by <strong>user:ada</strong>",
            f"{event.at:%Y-%m-%d %H:%M:%S.%f} UTC",
            "request <code>r-2</code>",
            f"event {event.pk}, not sealed yet",
            "<code>[&quot;size: 5, not 4&quot;]</code>",
            "<code>head</code>",
        ):
            assert fact in newest

    def test_the_same_page_for_every_spelling_of_the_id(self, admin_client, upload):
        for spelling in (str(upload.pk).upper(), upload.pk.hex):
            page = admin_client.get(f"/admin/uploads/upload/{spelling}/change/")
            assert "timeline-title" in page.content.decode()
        for unknown in ("nope", "0" * 32):
            page = admin_client.get(f"/admin/uploads/upload/{unknown}/change/")
            assert page.status_code == 404

    def test_one_event_and_one_seal(self, admin_client, upload, bucket):
        Trail(bucket, "audit/").seal()
        seal = AuditSeal.objects.get()
        event = upload.events.earliest("id")
        pages = [
            admin_client.get(f"/admin/uploads/{address}/change/").content.decode()
            for address in (f"auditseal/{seal.pk}", f"uploadevent/{event.pk}")
        ]
        for fact in (seal.root, seal.previous, seal.signature, seal.object_key):
            assert fact in pages[0]
        assert f"{seal.sealed_at:%Y-%m-%d %H:%M:%S}." in pages[0]
        assert upload.sha256 in pages[1]
        for page in pages:
            # Django's history knows nothing of these, and would say so.
            assert "/history/" not in page
            assert 'name="_save"' not in page


class TestVerify:
    def test_good(self, admin_client, upload):
        response = admin_client.post(path(upload, "verify"), follow=True)
        assert b"Verified: size and SHA-256 match" in response.content
        assert acts_of(upload) == [("verified", "user:admin")]

    def test_missing(self, admin_client, upload, bucket):
        making.delete_object(bucket, upload.key)
        response = admin_client.post(path(upload, "verify"), follow=True)
        assert b"The object is missing" in response.content
        assert Upload.objects.get().status == Status.MISSING

    def test_pending(self, admin_client, make_upload):
        upload = make_upload(status=Status.PENDING)
        response = admin_client.post(path(upload, "verify"), follow=True)
        assert b"is pending; there is nothing to verify." in response.content
        assert acts_of(upload) == []

    def test_changed_by_another_request(self, admin_client, upload, monkeypatch):
        def compare_slowly(upload: Upload, *, method: Method) -> Verification:
            Upload.objects.update(status=Status.PURGED)
            return Verification(Action.VERIFIED, ())

        monkeypatch.setattr(object_verification, "examine", compare_slowly)
        response = admin_client.post(path(upload, "verify"), follow=True)
        assert b"is no longer stored." in response.content
        assert acts_of(upload) == []

    def test_no_permit(self, admin_client, upload, no_permit):
        response = admin_client.post(path(upload, "verify"), follow=True)
        assert b"nothing recorded: too many requests use" in response.content
        response = admin_client.get(path(upload, "preview"))
        assert response.status_code == 503
        assert b"too many requests use the object store" in response.content
        assert acts_of(upload) == []

    def test_store_unreachable(self, admin_client, upload, make_storage):
        make_storage(endpoint_url="http://127.0.0.1:9", max_attempts=1)
        response = admin_client.post(path(upload, "verify"), follow=True)
        assert b"Not verified, and nothing recorded" in response.content
        assert admin_client.get(path(upload, "preview")).status_code == 502
        assert acts_of(upload) == []

    def test_not_by_get_nor_without_a_csrf_token(self, admin_user, upload):
        client = Client(enforce_csrf_checks=True)
        client.force_login(admin_user)
        assert client.get(path(upload, "verify"))["Location"] == path(upload, "change")
        assert client.post(path(upload, "verify")).status_code == 403
        assert acts_of(upload) == []


def test_proof__what_is_sealed(admin_client, upload, bucket, settings):
    page = admin_client.get(path(upload, "proof")).content.decode()
    assert "2 of these events are not sealed yet" in page
    assert acts_of(upload) == [("proof_shown", "user:admin")]
    settings.AUDIT_PUBLIC_KEYS = {KEY.id: KEY.public_key}
    Trail(bucket, "audit/").seal()
    seal = AuditSeal.objects.get()
    # The trail's copies lie in the service's bucket, wherever an upload once lay.
    Upload.objects.filter(pk=upload.pk).update(bucket="elsewhere")

    page = admin_client.get(path(upload, "proof")).content.decode()

    assert page.count('<a href="#seal-1">seal 1</a>') == 3
    assert "not sealed yet" not in page
    for fact in (seal.root, seal.previous, seal.signature, seal.key_id):
        assert f"<code>{fact}</code>" in page
    assert f"<code>s3://{bucket.bucket_name}/{seal.object_key}</code>" in page
    assert bucket.head(seal.object_key).size > 0
    # In this order, a seal that is made during the download does not lack its events.
    seals, events = (
        page.index(f"aws s3 sync s3://{bucket.bucket_name}/audit/{x}/ audit/{x}/\n")
        for x in ("seals", "events")
    )
    assert seals < events
    key = base64.b64encode(KEY.public_key).decode()
    assert f"--public-key {KEY.id}:{key}\n" in page
    assert "elsewhere" not in page


class TestReading:
    def test_download__no_credentials_to_sign_with(
        self, admin_client, upload, make_fail
    ):
        client = upload_storage().client
        make_fail(client, "generate_presigned_url", NoCredentialsError)
        response = admin_client.get(path(upload, "download"), follow=True)
        detail = b"The object cannot be downloaded: credentials for the object store"
        assert detail in response.content
        assert acts_of(upload) == []

    def test_download__presigned_and_recorded(self, admin_client, upload):
        response = admin_client.get(path(upload, "download"))
        assert response.status_code == 302
        assert "X-Amz-Expires=60" in response.headers["Location"]
        assert acts_of(upload) == [("downloaded", "user:admin")]
        assert Upload.objects.get().status == Status.STORED

    def test_preview__of_the_version_that_was_stored(self, admin_client, bucket):
        bucket.client.put_bucket_versioning(
            Bucket=bucket.bucket_name, VersioningConfiguration={"Status": "Enabled"}
        )
        upload = making.stored()
        making.put_raw(bucket, upload.key, b"laid over it")
        response = admin_client.get(path(upload, "preview"))
        assert response.content == str(upload.number).encode()
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert upload.events.latest("id").detail == {"preview": True}

    def test_preview__too_large_or_missing(self, admin_client, bucket, upload):
        large = making.stored(size=4097)
        assert admin_client.get(path(large, "preview")).status_code == 413
        making.delete_object(bucket, upload.key)
        assert admin_client.get(path(upload, "preview")).status_code == 404
        assert acts_of(upload) == []


@pytest.mark.parametrize("act", ["verify", "proof", "download", "preview"])
class TestPermissions:
    @pytest.mark.parametrize("group", ["auditors", "operators", ""])
    def test_the_groups_may__a_member_of_none_nothing(
        self, member_of, upload, act, group
    ):
        client = member_of(group)
        method = client.post if act == "verify" else client.get
        if act != "verify":
            # A link on another site would record what the user did not mean.
            elsewhere = {"sec-fetch-site": "cross-site"}
            assert method(path(upload, act), headers=elsewhere).status_code == 403
            assert acts_of(upload) == []
        status = method(path(upload, act)).status_code
        assert status in ({200, 302} if group else {403})
        actors = [actor for _, actor in acts_of(upload)]
        assert actors == ([f"user:one-of-{group}"] if group else [])

    def test_strangers_are_sent_to_the_login(self, client, upload, act):
        method = client.post if act == "verify" else client.get
        response = method(path(upload, act))
        assert response.headers["Location"].startswith("/admin/login/")
        assert making.actions(upload) == ["requested", "stored"]
