from __future__ import annotations

import pytest

from mirrorsite.actors import Actor
from tests.uploads.audit.trails import Trail
from uploads import transitions
from uploads.models import Action, AuditSeal, Upload

pytestmark = pytest.mark.django_db


class TestUploadAdmin:
    def test_timeline__who_when_what_and_by_which_request(self, admin_client, upload):
        transitions.record(
            upload,
            Action.CORRUPTED,
            Actor(name="user:ada", request_id="r-2"),
            detail={"differences": ["size: 5, not 4"], "method": "head"},
        )
        page = admin_client.get(f"/admin/uploads/upload/{upload.pk}/change/")
        text = page.content.decode()
        assert upload.sha256 in text
        timeline = text[text.index('<ol class="timeline"') :]
        newest = timeline[: timeline.index("</li>")]
        event = upload.events.latest("id")
        assert "corrupted</span> by <strong>user:ada</strong>" in newest
        assert f"{event.at:%Y-%m-%d %H:%M:%S.%f} UTC" in newest
        assert "request <code>r-2</code>" in newest
        assert f"event {event.pk}, not sealed yet" in newest
        assert "<code>[&quot;size: 5, not 4&quot;]</code>" in newest
        assert "<code>head</code>" in newest

    def test_events(self, admin_client, upload):
        listed = admin_client.get("/admin/uploads/uploadevent/").content.decode()
        assert listed.count(str(upload.pk)) >= 2

    def test_pages_of_one_event_and_one_seal(self, admin_client, upload, bucket):
        Trail(bucket, "audit/").seal()
        seal = AuditSeal.objects.get()
        event = upload.events.earliest("id")
        page = admin_client.get(f"/admin/uploads/auditseal/{seal.pk}/change/")
        text = page.content.decode()
        for fact in (seal.root, seal.previous, seal.signature, seal.object_key):
            assert fact in text
        assert f"{seal.sealed_at:%Y-%m-%d %H:%M:%S}." in text
        page = admin_client.get(f"/admin/uploads/uploadevent/{event.pk}/change/")
        assert upload.sha256 in page.content.decode()
        for page_text in (text, page.content.decode()):
            # Django's history knows nothing of these, and would say so.
            assert "/history/" not in page_text
            assert 'name="_save"' not in page_text

    def test_no_change_by_post(self, admin_client, upload):
        path = f"/admin/uploads/upload/{upload.pk}/change/"
        assert admin_client.post(path, {"status": "failed"}).status_code == 403
        assert Upload.objects.get().status == "stored"

    def test_no_delete_action(self, admin_client, upload):
        admin_client.post(
            "/admin/uploads/upload/",
            {"action": "delete_selected", "_selected_action": str(upload.pk)},
        )
        assert Upload.objects.count() == 1
