from __future__ import annotations

import pytest

from tests.uploads.audit.tampering import SEALS
from tests.uploads.audit.trails import Trail, add_uploads
from uploads.storage import UploadStorage


@pytest.fixture
def trail(bucket: UploadStorage) -> Trail:
    trail = Trail(bucket)
    for count in SEALS:
        add_uploads(count)
        trail.seal()
    assert trail.faults() == []
    return trail
