"""An untouched trail passes, and so does one of a single upload until its row is changed."""

from __future__ import annotations

import pytest

from mirrorsite.actors import Actor
from tests.uploads.audit.trails import Trail, add_uploads
from uploads.models import Upload, UploadEvent, new_upload_id
from uploads.orphans import record_orphan

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("per_seal", [1, 5])
def test_untouched__clean(bucket, per_seal):
    trail = Trail(bucket)
    for count in (0, 3, 2, 0, 1):
        add_uploads(count, stored=count != 2)
        trail.seal(events_per_seal=per_seal)
    report = trail.verify()
    assert report.is_clean
    assert (report.events, report.uploads) == (UploadEvent.objects.count(), 6)


@pytest.mark.parametrize("column", ["requester_name", "request_id"])
def test_imported_upload__its_origin_is_checked(bucket, column):
    key = f"uploads/2026/11/01/{new_upload_id()}.txt"
    bucket.client.put_object(Bucket=bucket.bucket_name, Key=key, Body=b"hello")
    imported = record_orphan(key, actor=Actor())
    trail = Trail(bucket)
    trail.seal()
    assert trail.faults() == []
    Upload.objects.filter(pk=imported.pk).update(**{column: "other"})
    assert trail.faults() == [("facts differ", f"upload {imported.pk}")]


@pytest.mark.parametrize("column", ["etag", "version_id"])
def test_upload_without_an_object__nor_its_columns(bucket, column):
    (upload,) = add_uploads(1, stored=False)
    trail = Trail(bucket)
    trail.seal()
    assert trail.faults() == []
    Upload.objects.filter(pk=upload.pk).update(**{column: "other"})
    assert trail.faults() == [("facts differ", f"upload {upload.pk}")]
