from __future__ import annotations

import pytest

from tests.uploads.audit.trails import Trail
from uploads.storage import UploadStorage


@pytest.fixture
def trail(bucket: UploadStorage) -> Trail:
    return Trail(bucket)
