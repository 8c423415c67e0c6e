"""The service with configurations of the store that are odd or wrong."""

from __future__ import annotations

import pytest

from sre.lib.ports import free_port
from tests.integration.test_service import post
from uploads.models import Status, Upload
from uploads.storage import PART_BYTES

pytestmark = pytest.mark.service

SIZES = (None, {"size": 1000}, {"size": PART_BYTES + 1})


def test_no_credentials__starts_and_says_so(start_service, tmp_path):
    """The token service is unreachable."""
    (tmp_path / "token").write_text("token")
    service = start_service(
        WEB_CONCURRENCY="1",
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        AWS_SHARED_CREDENTIALS_FILE="/no/such/file",
        AWS_ROLE_ARN="arn:aws:iam::123456789012:role/mirrorsite",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"),
        AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{free_port()}",
    )
    log = service.log.read_text()
    assert "Worker failed to boot" not in log
    assert "no connection to the object store yet" in log
    for body in SIZES:
        status, answer = post(service, body)
        assert (status, answer["upload_status"]) == (503, "failed")
    assert Upload.objects.filter(status=Status.FAILED).count() == len(SIZES)
    assert Upload.objects.count() == len(SIZES)
