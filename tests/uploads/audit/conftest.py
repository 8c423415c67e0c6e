from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.uploads.audit.trails import KEY
from uploads.storage import UploadStorage


@pytest.fixture
def signing(settings: Any, bucket: UploadStorage) -> UploadStorage:
    settings.AUDIT_SIGNING_KEY = base64.b64decode(KEY.secret_text())
    settings.AUDIT_PUBLIC_KEYS = {}
    return bucket
