"""What keeps a service from starting, and what does not."""

from __future__ import annotations

import time

import pytest

from sre.lib.ports import free_port

pytestmark = [pytest.mark.service, pytest.mark.integration]


def test_token_service_unreachable__starts_and_says_so(start_service, tmp_path):
    (tmp_path / "token").write_text("token")
    begun = time.monotonic()
    service = start_service(
        WEB_CONCURRENCY="1",
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        AWS_ROLE_ARN="arn:aws:iam::123456789012:role/mirrorsite",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"),
        AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{free_port()}",
    )
    assert time.monotonic() - begun < 60
    assert service.answers()
    assert "Worker failed to boot" not in service.log.read_text()
    assert "no connection to the object store yet" in service.log.read_text()
