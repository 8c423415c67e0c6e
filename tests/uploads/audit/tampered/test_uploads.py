"""Uploads that tell another story than their events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorsite.actors import Actor
from tests.uploads.audit.strategies import other
from tests.uploads.audit.tampered.sealed_trail import examples
from tests.uploads.audit.tampering import as_owner, delete, rows_of
from tests.uploads.audit.trails import add_uploads
from uploads.audit import log
from uploads.models import Action, Status, Upload, new_upload_id

pytestmark = pytest.mark.django_db


class TestUploads:
    def test_tried_again_from_elsewhere__clean(self, trail):
        """The row keeps the first actor; that is no difference."""
        upload = add_uploads(1, stored=False)[0]
        actor = Actor(name="token:ci", address="198.51.100.9", request_id="later")
        log.record(upload, Action.FAILED, actor, detail={"error": "refused"})
        log.record_new_attempt(upload, actor, bucket=upload.bucket)
        log.record(upload, Action.STORED, actor, detail={"etag": "x"}, etag="x")
        trail.seal()
        assert trail.faults() == []

    @examples
    @given(data=st.data())
    def test_any_told_field_changed(self, trail, data):
        with as_owner():
            upload = data.draw(st.sampled_from(list(Upload.objects.all())))
            column = data.draw(
                st.sampled_from(
                    [
                        "bucket",
                        "key",
                        "size",
                        "sha256",
                        "number",
                        "etag",
                        "version_id",
                        "user_agent",
                        "client_address",
                        "requester_name",
                        "request_id",
                        "created_at",
                    ]
                )
            )
            value = getattr(upload, column)
            if column == "client_address":
                changed: Any = "192.0.2.8"
            elif column == "sha256":
                changed = "ba" * 32
            else:
                changed = data.draw(other(value))
            rows_of(Upload).filter(pk=upload.pk).update(**{column: changed})
            report = trail.verify()
        assert [(f.kind.value, f.subject) for f in report.faults] == [
            ("facts differ", f"upload {upload.pk}")
        ]
        assert column in report.faults[0].detail

    @examples
    @given(data=st.data())
    def test_status_changed(self, trail, data):
        with as_owner():
            upload = data.draw(st.sampled_from(list(Upload.objects.all())))
            statuses = [s for s in Status if s != upload.status]
            status = data.draw(st.sampled_from(statuses))
            rows_of(Upload).filter(pk=upload.pk).update(status=status)
            assert trail.faults() == [("status differs", f"upload {upload.pk}")]

    def test_deleted(self, trail):
        with as_owner():
            upload = Upload.objects.order_by("id")[2]
            delete(rows_of(Upload).filter(pk=upload.pk))
            assert trail.faults() == [("missing", f"upload {upload.pk}")]

    def test_without_events(self, trail):
        with as_owner():
            template = Upload.objects.all()[0]
            template.pk, template.key = new_upload_id(), "uploads/invented.txt"
            rows_of(Upload).bulk_create([template])
            assert trail.faults() == [("invented", f"upload {template.pk}")]
