"""The service with configurations of the store that are odd or wrong."""

from __future__ import annotations

import pytest

from tests.integration.test_service import post
from uploads.models import Status, Upload
from uploads.storage import PART_BYTES

pytestmark = pytest.mark.service

SIZES = (None, {"size": 1000}, {"size": PART_BYTES + 1})


def test_endpoint_with_space_around_it(start_service, object_store):
    service = start_service(AWS_ENDPOINT_URL_S3=f" {object_store.url}\n")
    for body in SIZES:
        assert post(service, body)[0] == 201


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_EC2_METADATA_DISABLED": "true"},
        {
            "AWS_WEB_IDENTITY_TOKEN_FILE": __file__,
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/a-role",
            "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
        },
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/"},
    ],
)
def test_no_credentials__service_starts_and_says_so(start_service, environment):
    service = start_service(
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        AWS_SHARED_CREDENTIALS_FILE="/no/such/file",
        WEB_CONCURRENCY="1",
        **environment,
    )
    for body in SIZES:
        status, answer = post(service, body)
        assert (status, answer["upload_status"]) == (503, "failed")
    assert Upload.objects.filter(status=Status.FAILED).count() == len(SIZES)
    assert Upload.objects.count() == len(SIZES)
