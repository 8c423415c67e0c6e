from __future__ import annotations

import hashlib

import pytest

from uploads import services
from uploads.models import Action, Status, Upload
from uploads.storage import UploadStorage
from uploads.trail import Caller

pytestmark = pytest.mark.django_db

CALLER = Caller(
    name="anonymous", address="192.0.2.7", user_agent="tests", request_id="request-1"
)


class TestUploadRandom:
    def test_upload_random__stored(self, bucket: UploadStorage) -> None:
        upload = services.upload_random(caller=CALLER)

        body = bucket.client.get_object(Bucket=bucket.bucket_name, Key=upload.key)
        content = body["Body"].read()
        assert content == str(upload.number).encode()
        assert hashlib.sha256(content).hexdigest() == upload.sha256
        assert body["Metadata"] == {
            "upload-id": str(upload.pk),
            "request-id": "request-1",
            "sha256": upload.sha256,
        }
        row = Upload.objects.get()
        assert row.status == Status.STORED
        assert row.etag == body["ETag"].strip('"')
        assert [event.action for event in row.events.all()] == [
            Action.REQUESTED,
            Action.STORED,
        ]
