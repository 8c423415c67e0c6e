from __future__ import annotations

import time
from typing import Any

import pytest

from tests.uploads.audit.tampering import SEALS, event_ids, execute, rows_of
from tests.uploads.audit.trails import Trail, add_uploads
from tests.uploads.making import put_raw
from uploads.models import AuditSeal, Upload, UploadEvent
from uploads.storage import UploadStorage

MODELS: tuple[Any, ...] = (AuditSeal, Upload, UploadEvent)
#: Rows and objects of the last trail that was sealed, and until when they are copied:
#: verify_audit reports a last seal that is older than five minutes.
_copy: dict[str, Any] = {"until": 0.0}


@pytest.fixture
def trail(bucket: UploadStorage) -> Trail:
    """Return a sealed trail: a copy, which takes a quarter of the time of sealing."""
    trail = Trail(bucket, prefix="audit-copied/")
    if time.monotonic() < _copy["until"]:
        for model, rows in _copy["rows"]:
            rows_of(model).bulk_create([model(**row) for row in rows])
        for key, content in _copy["objects"]:
            put_raw(bucket, key, content)
        # Where tables were made again, new events would have the ids of the copy's.
        execute("SELECT setval('uploads_uploadevent_id_seq', %s)", max(event_ids()))
        return trail
    for count in SEALS:
        add_uploads(count)
        trail.seal()
    assert trail.faults() == []
    _copy.update(
        until=time.monotonic() + 60,
        rows=[(model, list(rows_of(model).values())) for model in MODELS],
        objects=[
            (key, b"".join(bucket.read(key))) for key in bucket.list_keys(trail.prefix)
        ],
    )
    return trail
